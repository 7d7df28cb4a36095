//! Every test that needs more than one room: one binary, a file per promise.

mod check;
mod conformance;
mod door;
mod harness;
mod serve;
mod tidy;
mod ways_in;
