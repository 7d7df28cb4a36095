//! The view without Acquire and Release.

#[expect(clippy::duplicate_mod, reason = "built on another memory")]
#[expect(dead_code, reason = "the other models hold for the orderings that it has")]
#[path = "../models.rs"]
pub(in crate::coherence::core::interleavings) mod models;
#[expect(clippy::duplicate_mod, reason = "built on another memory")]
#[expect(dead_code, unreachable_pub, reason = "a model needs a part of the view, and nobody else any")]
#[path = "../../view.rs"]
mod view;

mod sync {
    pub(super) use super::super::memory::{AtomicU32, AtomicU64, Swap};
    pub(super) use std::sync::atomic::Ordering::{Relaxed as Acquire, Relaxed as Release};
}
