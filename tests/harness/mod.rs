//! What the tests stand on: real servers, real wires, a real origin and real instances, each test's own.

pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod clock;
pub(crate) mod command;
pub(crate) mod encrypted;
pub(crate) mod http;
pub(crate) mod instance;
pub(crate) mod origin;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod resp;
pub(crate) mod ring;
pub(crate) mod sentinel;
pub(crate) mod server;
pub(crate) mod task;
mod tests;
pub(crate) mod wait;
pub(crate) mod wind;
