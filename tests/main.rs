//! Every test that needs more than one room: one binary, a file per promise.

mod harness;
mod serve;
mod tidy;
