//! What is written to an origin, and what it says to that.

use std::sync::Arc;
use std::time::Duration;

use super::OriginError;
use crate::model::{Seq, Value};

/// A change of one key at the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value from now on.
    Put(Value),
    /// The key has none.
    Delete,
}

/// Which of all writes it is. An origin that obeys it never lets an older write of a key undo a newer one, however late
/// the older one arrives (coherence.md, part 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The number of the write's event; a newer write of the same key always has a greater one.
    pub seq: Seq,
    /// The same over all attempts at this write, and of no other write (draft-ietf-httpapi-idempotency-key-header).
    pub idempotency_key: Arc<str>,
}

/// What became of a write that the origin took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is there.
    Done,
    /// A newer write of the key was there already, by the fence: nothing changed.
    Superseded,
}

/// Why a write is not known to be at the origin.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The origin says that it will never take it.
    #[error("the origin refuses the write: {0}")]
    Refused(String),
    /// It did not take it, or its answer was lost: another attempt may succeed.
    #[error("{error}")]
    Failed {
        /// What happened. After [`OriginError::LeftAlone`] and [`OriginError::Overloaded`] it was not asked at all.
        error: OriginError,
        /// What it asks to wait before another attempt (`Retry-After`).
        retry_after: Option<Duration>,
    },
}

impl From<OriginError> for WriteError {
    fn from(error: OriginError) -> Self {
        Self::Failed { error, retry_after: None }
    }
}
