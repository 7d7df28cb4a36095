//! The shared memory that a view is made of. Named in one place, so that the same view can be built on memory whose
//! every interleaving is explored.

pub(super) use std::sync::atomic::Ordering::{Acquire, Release};
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64};

/// A value that is replaced as a whole.
pub(super) type Swap<T> = arc_swap::ArcSwapOption<T>;
