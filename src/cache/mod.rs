//! The read path: L1, L2, origin, and the rule of what may be answered.

mod answer;

pub use answer::{Answer, Demand, Entry, GetError, LeaseGrant, PutError, Via};
