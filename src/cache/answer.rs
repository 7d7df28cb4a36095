//! What a reader may ask and what it gets: the terms between the read path and the door.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::backend::{BackendError, LoadId};
use crate::clock::Boot;
use crate::model::{Content, Lifetime, LogId, TraceId};
use crate::origin::OriginError;

/// What a read asks beyond the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Nothing older than this event (`Coherd-Min-Log-Id`).
    pub min: Option<LogId>,
    /// Nothing older than what was logged before the request arrived (`Coherd-Consistency: strict`).
    pub strict: bool,
    /// Load afresh (`Cache-Control: no-cache`).
    pub no_cache: bool,
    /// Never go to the origin (`only-if-cached`).
    pub only_if_cached: bool,
    /// Nothing of a higher age (`max-age`).
    pub max_age: Option<Duration>,
    /// A copy that only time made stale will do, up to so long after (`max-stale`; without a value: any).
    pub max_stale: Option<Duration>,
    /// The trace that the reader is part of, for metrics.
    pub trace: Option<TraceId>,
    /// When the reader came; `None`: now.
    pub arrived: Option<Boot>,
}

/// What both tiers keep of a key, ready to be answered.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The value, or that there is none.
    pub content: Content,
    /// How long it serves, from when its load began.
    pub lifetime: Lifetime,
    /// Whether the value is JSON, once somebody has looked.
    json: OnceLock<bool>,
}

impl Entry {
    /// What a tier or a load brought.
    pub fn new(content: Content, lifetime: Lifetime) -> Self {
        Self { content, lifetime, json: OnceLock::new() }
    }

    /// Whether its value is JSON; `look` reads it, and is asked once.
    pub fn is_json(&self, look: impl FnOnce() -> bool) -> bool {
        *self.json.get_or_init(look)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What is known of the key.
    pub entry: Arc<Entry>,
    /// How old it is.
    pub age: Duration,
    /// Which way it came.
    pub via: Via,
    /// The instance is cut off from the log and says so.
    pub detached: bool,
}

/// Which way an answer came: what `Cache-Status` and `coherd_requests_total{result}` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A valid, fresh copy in this process.
    L1,
    /// A valid, fresh entry in Valkey.
    L2,
    /// A copy that time or a soft event made stale, while a load runs or has failed.
    Stale,
    /// Loaded for this request; `stored` says whether L2 took it.
    Origin {
        /// L2 took it.
        stored: bool,
    },
    /// Loaded, passed on and kept nowhere: over `max_value`.
    TooLarge,
    /// The result of a load that was under way for another request.
    Collapsed,
    /// Past all copies: the instance is cut off from the log, and strict.
    Bypass,
    /// A write that has not reached the origin yet.
    PendingWrite,
}

/// The right to load a key that only the application can load (`origin.kind = "none"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseGrant {
    /// What `Coherd-Lease` says: the load, its lineage and token in one opaque text.
    pub token: String,
    /// The load behind it.
    pub load: LoadId,
}

/// Why a read has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GetError {
    /// The origin has none (or, without an origin, nobody stored one): 404 `not_found`.
    #[error("there is no such value")]
    Missing {
        /// Cache-aside: the caller may load and store it.
        lease: Option<LeaseGrant>,
    },
    /// `only-if-cached`, and it is not: 504 `not_cached`.
    #[error("there is no copy that may be answered")]
    NotCached,
    /// The origin gave no answer.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// No answer is possible now: 503 `unavailable`.
    #[error("no answer is possible now: {0}")]
    Unavailable(String),
}

/// Why a write to the cache alone was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutError {
    /// The lease is gone: something invalidated the key, it expired, or it never was. 409 `lease_lost`.
    #[error("the lease is gone: the key was invalidated or the lease expired")]
    LeaseLost,
    /// The namespace takes no writes: 403 `write_off`.
    #[error("the namespace takes no writes")]
    Off,
    /// Over `max_value`: 413 `too_large`.
    #[error("the value has {0} bytes, more than `max_value`")]
    TooLarge(usize),
    /// The backend did not take it: 503 `unavailable`.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
