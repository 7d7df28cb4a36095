//! The protocol: who may answer what, and how an invalidation reaches everyone.
//!
//! In one line: **token before read, watermark at read, lease before serve, identity before L2.**
//!
//! - *Token before read.* Every load takes the number of the last event before it asks the origin. What it brings is as
//!   new as that event, whenever it arrives.
//! - *Watermark at read.* An event leaves the number under the names it hits. A copy whose token is smaller than the
//!   number under one of its names is not answered, in either tier; nothing has to be found and removed for that.
//! - *Lease before serve.* A copy is answered from this process only within `max_staleness` of the sending of a heartbeat
//!   whose head this process has reached. A paused, cut off or late instance stops by its own clock.
//! - *Identity before L2.* A server that came back with older data would use the same numbers for other events; every
//!   connection is checked against the identity in `ctl` before its first command.
//! - *A replica's word counts once it can have heard.* Where the origin's replicas lag (`origin_lag`), a load that began
//!   within the lag of an event for its names has a token that is newer than its value may be. It is kept until the lag is
//!   over and no longer ([`Coherence::unseen`]): the copies agree with the origin once the lag has passed.
//!
//! [`core`] decides, without I/O. The tasks around it: `heartbeat` (one a shard) asks for proof, `tail` applies events,
//! `confirm` tells publishers that wait, `members` looks who is there, `barrier` serves strict reads, `inbox` logs what
//! other systems say. [`Coherence`] is the face.

mod audit;
mod barrier;
mod came;
mod confirm;
pub mod core;
mod face;
pub mod form;
mod heartbeat;
mod inbox;
mod lag;
mod members;
mod meter;
mod naming;
pub(crate) mod publish;
mod recent;
mod server_clock;
mod shared;
mod tail;
mod tailed;
mod traced;
mod vouch;
mod wakes;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backend::{BackendError, Token};
use crate::model::{Event, LogId, Seq, Shard};

pub use crate::backend::{Along, Durability};
pub use audit::Sender;
pub use face::{Coherence, SLOTS, Settings};
pub use lag::Unseen;
pub use naming::{Firsts, Named, Search};
pub use publish::Terms;
pub use shared::Touches;
pub use wakes::{Ended, Waker};

/// The door an event came through: the `source` of `coherd_invalidations_published_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// `POST /v1/invalidate`.
    Http,
    /// `PURGE`.
    Purge,
    /// The inbox stream.
    Inbox,
    /// The inbox channel.
    Pubsub,
    /// A write through coherd.
    Write,
    /// `POST /v1/events`.
    CloudEvents,
    /// An outbox in PostgreSQL.
    Postgres,
    /// Streams that Debezium Server fills.
    Debezium,
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
    /// A key that it names holds a pending write: there it takes effect when that is at the origin.
    pub deferred: bool,
    /// A value was stored with it.
    pub stored: bool,
    /// What keeps it, where a write is behind.
    pub durability: Durability,
    /// Its place in every shard that has it.
    tokens: Vec<(Shard, Token)>,
    /// For a publisher that waits.
    wait: core::Wait,
}

impl Receipt {
    /// Its place in a shard's history.
    pub fn token(&self, shard: Shard) -> Option<Token> {
        self.tokens.iter().find(|(of, _)| *of == shard).map(|(_, token)| token.clone())
    }
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
    /// The instance attached to the log, or was cut off.
    Attached(bool),
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
