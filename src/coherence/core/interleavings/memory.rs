//! The memory of a view, as loom runs it.

use std::sync::Arc;

use loom::sync::Mutex;

pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64};

/// A value that is replaced as a whole; arc-swap's own interleavings are its own affair.
pub(super) struct Swap<T>(Mutex<Option<Arc<T>>>);

impl<T> Swap<T> {
    pub(super) fn empty() -> Self {
        Self(Mutex::new(None))
    }

    pub(super) fn load(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn store(&self, value: Option<Arc<T>>) {
        *self.0.lock().unwrap() = value;
    }
}
