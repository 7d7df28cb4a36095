//! P1: no read that starts later than D after an invalidation was logged returns a value whose load began before it.

mod fill;
mod log;
mod process;
mod server;
mod wire;
