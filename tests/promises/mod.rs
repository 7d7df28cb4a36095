//! The promises of coherence, put to the test from outside: real processes, a real server, an origin that can be held.
//!
//! Every race is forced: a load reads its version when it reaches the origin and is kept there until the test has done
//! what it must not survive.

mod acknowledged;
mod clock;
mod convergence;
mod own_writes;
mod staleness;
pub(crate) mod steps;
