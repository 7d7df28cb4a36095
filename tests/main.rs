//! Every test that needs more than one room: one binary, a file per promise.

mod conformance;
mod door;
mod harness;
mod serve;
mod tidy;
