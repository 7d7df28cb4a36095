//! What happened, written down while it happens, and the checker that holds it against the promises.
//!
//! A history has one clock and one order: a record is written when its operation has ended, and the clock is read under
//! the same lock. So records are in the order of their ends, and the checker needs one pass.

mod checker;
mod checker_tests;
mod floors;
mod record;
mod tests;
mod verdict;
mod writer;
mod writes;
mod written;

pub(crate) use checker::check;
pub(crate) use record::{Acknowledged, Floor, Happened, Outcome, Record, Versions, Way};
pub(crate) use verdict::{Durations, Figures, Promise, Verdict, Writes};
pub(crate) use writer::History;
pub(crate) use written::{Accepted, Answer, Done, Mode};
