//! The steps of the tour, each of which shows what it says or fails.

pub(super) mod behind;
pub(super) mod change;
pub(super) mod late;
pub(super) mod reads;
pub(super) mod soft;
pub(super) mod stampede;

use super::super::exit::Fault;

/// What a step showed.
pub(super) struct Shown {
    /// What happened, with times.
    pub(super) lines: Vec<String>,
    /// How to try it.
    pub(super) curl: String,
}

/// A condition of a step, and what is said where it does not hold.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::failed(otherwise())) }
}
