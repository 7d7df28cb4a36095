//! The protocol: who may answer what, and how an invalidation reaches everyone.

pub mod core;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::backend::BackendError;
use crate::model::{Event, LogId, Seq, Shard};

/// The door an event came through: the `source` of `coherd_invalidations_published_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// `POST /v1/invalidate`.
    Http,
    /// `PURGE`.
    Purge,
    /// The function `coherd_invalidate`.
    Fcall,
    /// The inbox stream.
    Inbox,
    /// The inbox channel.
    Pubsub,
    /// A write through coherd.
    Write,
}

/// A logged event.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Its id.
    pub id: LogId,
    /// The `request_id` was seen before: this is the first one's id, nothing was logged.
    pub repeated: bool,
    /// Prefixes that were not on a boundary, and what they were widened to (`""`: the whole namespace).
    pub widened: BTreeMap<String, String>,
}

/// Why an event was not logged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// `exact` was asked for.
    #[error("prefix `{0}` ends on no boundary (`/` or `:`)")]
    NotOnBoundary(String),
    /// The log did not take it, or did not say so; the publisher tries again with the same `request_id`.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// How `wait=all` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitMode {
    /// All members confirmed.
    Early,
    /// Time has: whoever did not confirm can no longer answer with anything older.
    Late,
    /// The caller's time-out came first; the event stands all the same.
    TimedOut,
}

/// Who has applied an event.
#[derive(Clone, Debug)]
pub struct Waited {
    /// How it ended.
    pub mode: WaitMode,
    /// Members that confirmed.
    pub applied: Vec<String>,
    /// Members that did not.
    pub missing: Vec<String>,
}

/// By which way an applied event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Path {
    /// Announced.
    Pubsub,
    /// Read from the log.
    Stream,
}

/// What a follower of this instance sees: `/events`.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An event was applied here.
    Applied {
        /// Its id.
        id: LogId,
        /// What it says.
        event: Event,
        /// When it was logged, milliseconds since 1970 by the server's clock.
        at_ms: u64,
        /// By which way it came.
        path: Path,
    },
    /// The instance attached to a shard's log, or was cut off.
    Attached(Shard, bool),
}

/// What `/stats` says of the log and the members.
#[derive(Clone, Debug)]
pub struct Status {
    /// All shards have a live lease.
    pub attached: bool,
    /// The last event applied, per shard.
    pub cursor: LogId,
    /// The last event known to exist, per shard.
    pub head: LogId,
    /// Events known and not yet applied.
    pub lag_events: u64,
    /// How long the last applied event took to get here.
    pub lag: Duration,
    /// Every member.
    pub members: Vec<MemberStatus>,
}

/// A member, as this instance sees it.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// `instance.id`.
    pub id: String,
    /// The last event it confirmed, in the first shard.
    pub cursor: Seq,
    /// Time since its last heartbeat was seen to change.
    pub lag: Duration,
    /// Its heartbeat has changed within its longest `max_staleness`.
    pub alive: bool,
}

/// The room's face: publishing, waiting, following.
pub struct Coherence {}

impl Coherence {
    /// Logs an event: in every shard it concerns. Returns once all of them have it.
    pub async fn publish(&self, _event: Event, _door: Door, _exact: bool) -> Result<Receipt, PublishError> {
        unimplemented!()
    }

    /// Waits until no instance can answer with anything older than the event.
    /// `timeout` of `None`: the largest `max_staleness` plus one second.
    pub async fn wait_all(&self, _receipt: &Receipt, _timeout: Option<Duration>) -> Waited {
        unimplemented!()
    }

    /// Events as they are applied here, and changes of attachment.
    pub fn follow(&self) -> broadcast::Receiver<Notice> {
        unimplemented!()
    }

    /// For `/stats`.
    pub fn status(&self) -> Status {
        unimplemented!()
    }
}
