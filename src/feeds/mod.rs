//! What other systems say of their own accord: supervised tasks that read where those leave their changes, and publish them.
//!
//! A source takes changes, publishes them, and only then lets go of them: what is not acknowledged by the log is read again,
//! here or by another instance. What is malformed is counted and passed over; it blocks nothing behind it.

mod braces;
pub mod debezium;
mod gather;
mod gauges;
pub mod postgres;

pub use gauges::Gauges;
