//! The protocol's decisions, without I/O and without a clock of their own: what is valid, what an event means, when a
//! waiting publisher may be answered.

mod follower;
mod following;
#[cfg(test)]
mod interleavings;
mod memory;
mod sync;
mod view;
#[cfg(test)]
mod view_tests;
mod waiting;

pub use follower::{Gap, Leap};
pub use following::{Answer, Following, Heard};
pub use memory::Memory;
pub(super) use view::name_of;
pub use view::{Judgement, Slots, Stamp, Standing, View};
pub use waiting::{Decision, Part, Wait};
