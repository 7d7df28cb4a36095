//! One line of a history.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::written::{Answer, Done, Mode};

/// Objects (`NAMESPACE/KEY`) and the versions they had.
pub(crate) type Versions = BTreeMap<String, u64>;

/// Something that happened, and when: nanoseconds since the history began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its begin, read before anything was done.
    pub(crate) started: u64,
    /// Its end, read after everything was done.
    pub(crate) ended: u64,
    /// What.
    #[serde(flatten)]
    pub(crate) happened: Happened,
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Happened {
    /// What this run promises: always the first record.
    Promise {
        /// D of the namespaces, in nanoseconds.
        max_staleness: u64,
        /// What this run was made from.
        seed: u64,
    },
    /// Readers of a namespace's origin may be behind by as much as its instances allow for.
    Lag {
        /// The namespace.
        space: String,
        /// Its `origin_lag`, in nanoseconds.
        nanos: u64,
    },
    /// The origin has another version of an object, as of some moment within the record's time.
    Commit {
        /// The object.
        object: String,
        /// A version starts at 1 and only grows.
        version: u64,
    },
    /// The origin was read: at `started` it knew that version.
    Load {
        /// The object.
        object: String,
        /// What was read; `None`: no such object.
        version: Option<u64>,
    },
    /// A publisher said what is no longer true.
    Invalidate {
        /// Its number, unique in the history.
        event: u64,
        /// The way it went.
        way: Way,
        /// The objects it names, by whatever target, and the versions they had before it was sent: from the event on
        /// nothing older is true.
        covers: Versions,
        /// Older copies may be served on as stale where the namespace allows it.
        soft: bool,
        /// What the publisher learned.
        acknowledged: Acknowledged,
    },
    /// The log was seen to hold the event, by somebody who reads it directly.
    Logged {
        /// Which.
        event: u64,
    },
    /// A client read an object through an instance.
    Read {
        /// The instance.
        instance: String,
        /// The object.
        object: String,
        /// What the client asked not to be older than.
        floor: Floor,
        /// What it got.
        outcome: Outcome,
    },
    /// A cache-aside client stored what it had read under a lease.
    Store {
        /// Through which instance.
        instance: String,
        /// The object.
        object: String,
        /// What it stored.
        version: u64,
        /// The instance took it; else the lease was lost, or the answer.
        stored: Option<bool>,
    },
    /// The objects of a namespace are changed by writes through instances alone: their versions are numbers of writes.
    Written {
        /// The namespace.
        space: String,
    },
    /// A client wrote an object through an instance.
    Write {
        /// Its number, unique in the history.
        write: u64,
        /// The object.
        object: String,
        /// It gives the object a value; else it removes it.
        put: bool,
        /// What it is to mean.
        mode: Mode,
        /// Through which instance.
        instance: String,
        /// What the client learned.
        answer: Answer,
    },
    /// The origin was sent a write at `started`, and had done with it at `ended`.
    Delivered {
        /// The object.
        object: String,
        /// The number that the value holds; `None`: a removal, which holds nothing.
        write: Option<u64>,
        /// `Coherd-Write-Seq`.
        seq: Option<u64>,
        /// `Idempotency-Key`.
        idempotency_key: Option<String>,
        /// What the origin did.
        done: Done,
    },
    /// A dead letter that was there when all was over.
    Dead {
        /// The object.
        object: String,
        /// `Coherd-Write-Id`.
        id: String,
        /// Its fence, as the dead letter has it.
        seq: Option<u64>,
    },
    /// The server lost what it had taken between some moment within the record's time and its end, or has only what it
    /// had then.
    Forgot,
    /// From `started`, when nothing was broken any more, until `ended` all that was pending was written or given up.
    Drained,
    /// Something was broken at `started`, and mended, and gone over at `ended`.
    Fault {
        /// Its name, as in `FAULTS=`.
        fault: String,
        /// Whom it hit.
        target: String,
        /// From when it was mended until every instance was attached and level with the log again, in nanoseconds; `None`
        /// where another fault began before.
        recovered: Option<u64>,
    },
    /// Nothing changes and nothing is broken from `started` on: every later read is held against the last version.
    Settled,
}

impl Happened {
    /// It has to do with that object.
    pub(crate) fn concerns(&self, about: &str) -> bool {
        match self {
            Self::Commit { object, .. }
            | Self::Load { object, .. }
            | Self::Read { object, .. }
            | Self::Store { object, .. }
            | Self::Write { object, .. }
            | Self::Delivered { object, .. }
            | Self::Dead { object, .. } => object == about,
            Self::Invalidate { covers, .. } => covers.contains_key(about),
            Self::Promise { .. }
            | Self::Lag { .. }
            | Self::Logged { .. }
            | Self::Written { .. }
            | Self::Forgot
            | Self::Drained
            | Self::Fault { .. }
            | Self::Settled => true,
        }
    }
}

/// How an event came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// `POST /v1/invalidate`.
    Http,
    /// `PURGE`.
    Purge,
    /// `coherd invalidate`.
    Command,
    /// `FCALL coherd_invalidate`.
    Fcall,
    /// `XADD` to the inbox stream.
    Inbox,
    /// `PUBLISH` to the inbox channel.
    Pubsub,
    /// A `PUT` or `DELETE` without a lease in a cache-aside namespace.
    Put,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Http => "http",
            Self::Purge => "purge",
            Self::Command => "command",
            Self::Fcall => "fcall",
            Self::Inbox => "inbox",
            Self::Pubsub => "pubsub",
            Self::Put => "put",
        };
        f.write_str(name)
    }
}

/// What a publisher knows once its call has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Acknowledged {
    /// Nothing: the event may be in the log, or never get there.
    Unknown,
    /// It will be in the log (an entry of the inbox), nobody knows when.
    Durable,
    /// It was logged under this id before the call ended.
    Logged {
        /// `Coherd-Log-Id`.
        id: String,
    },
    /// `wait=all` answered 200: no instance answers with anything older any more.
    Everywhere {
        /// `Coherd-Log-Id`.
        id: String,
        /// Every member confirmed; else the leases of those that did not were waited for.
        early: bool,
    },
}

/// What a reader asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Floor {
    /// Nothing beyond what is always promised.
    None,
    /// `Coherd-Min-Log-Id` of that event.
    Event(u64),
    /// `Coherd-Min-Log-Id` of that write.
    Write(u64),
    /// `Coherd-Consistency: strict`.
    Strict,
}

/// What a reader got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// A value.
    Value {
        /// Its version.
        version: u64,
        /// The part of `Cache-Status` behind `detail=`, or `miss`.
        via: String,
        /// It was marked as stale.
        stale: bool,
        /// It was marked as answered by an instance that is cut off and is allowed to (`coherence = "available"`).
        available: bool,
    },
    /// The object does not exist (404), or a cache-aside client was told to load it by itself.
    Absent {
        /// The client holds the lease.
        leased: bool,
    },
    /// A refusal.
    Refused {
        /// The status.
        status: u16,
        /// The problem's `code`.
        code: String,
    },
    /// No answer: the instance was gone, or did not answer in time.
    Failed {
        /// The whole time-out passed without an answer.
        hung: bool,
    },
}
