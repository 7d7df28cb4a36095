//! coherd: a cache-coherence daemon.

pub mod app;
pub mod backend;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod guard;
pub mod http;
pub mod model;
pub mod origin;
pub mod supervisor;
pub mod telemetry;
