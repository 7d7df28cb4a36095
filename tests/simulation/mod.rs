//! Clusters that never were: instances over the embedded store, on a clock that moves when all is quiet, through a network
//! that loses, delays, repeats and reorders, all of it decided by a seed.
//!
//! `rng` draws, `world` orders, `weather` and `sea` carry, `wire` and `backend` are an instance's way to the store, `node`
//! is an instance, `clients` read and write, `faults` strike, `run` is one seed from its beginning to its verdict.

mod backend;
mod clients;
mod faults;
mod node;
mod origin;
mod plan;
mod publishers;
mod rng;
mod run;
mod sea;
mod tests;
mod weather;
mod wire;
mod world;
