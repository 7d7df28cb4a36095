//! The system of record: what a miss asks. It does not know who calls.

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{Key, Lifetime, Loaded};

/// What the copy at hand was validated by: a conditional load asks only whether it still stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The copy's `ETag`, if the origin gave one.
    pub etag: Option<Arc<str>>,
    /// The copy's `Last-Modified`.
    pub last_modified: Option<Arc<str>>,
}

/// What the origin answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A value, or that there is none.
    Loaded(Loaded),
    /// The copy at hand still stands (304), for so long if the origin says.
    NotModified {
        /// What the answer says of its lifetime.
        lifetime: Option<Lifetime>,
    },
}

/// Why a load brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OriginError {
    /// It answered with a status that is neither a value nor an absence.
    #[error("the origin answered {0}")]
    Status(u16),
    /// It could not be reached, broke off, or said something that is not understood.
    #[error("the origin failed: {0}")]
    Failed(String),
    /// No answer within `origin.timeout`, retries included.
    #[error("the origin did not answer within its time-out")]
    TimedOut,
    /// `origin.max_concurrency` loads are under way and none ended within `origin.timeout`.
    #[error("the origin's concurrency limit is reached")]
    Overloaded,
}

/// A system of record.
#[async_trait]
pub trait Origin: Send + Sync + 'static {
    /// Loads a key. The hard time-out, the retries and the concurrency limit are within.
    async fn load(&self, key: &Key, held: Option<&Validators>) -> Result<Fetched, OriginError>;
}
