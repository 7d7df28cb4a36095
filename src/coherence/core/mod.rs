//! The protocol's decisions, without I/O and without a clock of their own: what is valid, what an event means, when a
//! waiting publisher may be answered.

mod follower;
#[cfg(test)]
mod interleavings;
mod sync;
mod view;
#[cfg(test)]
mod view_tests;
mod waiting;

pub use follower::{Follower, Gap, Leap, Progress, Step};
pub use view::{Judgement, Slots, Stamp, Standing, View};
pub use waiting::{Decision, Part, Wait};
