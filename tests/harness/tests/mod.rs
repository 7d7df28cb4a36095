//! The harness itself: a fault that does not happen would let every test of it pass.

mod origin;
mod proxy;
mod server;
