//! Writes on their way to an origin: what takes effect with their events, and the queue of those that are behind.
//!
//! A write behind is a *dirty* entry, the value that every instance answers with, and a line in a stream that says what
//! is to do (coherence.md, part 3). The entry is the truth: a line whose entry holds another write is superseded.

use std::time::Duration;

use bytes::Bytes;

use super::entry::{EntryId, LoadId, Put};
use crate::model::{LineageId, Seq};

/// Queues of a shard, as they are numbered.
pub type Partition = u16;
/// Most partitions of a shard.
pub const PARTITIONS_MAX: Partition = 1024;
/// Most workers that share queues; further ones are there for when others have gone.
pub const WORKERS_MAX: usize = 1000;
/// The longest a quarantine lasts, and the longest pause of a parked write: what seems to last for longer was written
/// before the server's clock went back.
pub const HOLD_MAX: Duration = Duration::from_hours(25);

/// How much has to fail before a write that was acknowledged is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The server: it is in its memory.
    #[default]
    Memory,
    /// The server's disk: it is in its append-only file.
    Aof,
    /// The server and a replica, or as many as `coherence.min_replicas_ack` asks for.
    Replica,
}

/// What takes effect in the same step as an event about its key.
#[derive(Clone, Debug)]
pub enum Along {
    /// A value under the event's own token: a write to the cache alone.
    Value {
        /// Where.
        entry: EntryId,
        /// The write.
        load: LoadId,
        /// What is stored.
        put: Put,
    },
    /// A write to the origin begins: nothing is filled in while it is under way, for `hold` at the most.
    Quarantine {
        /// Where.
        entry: EntryId,
        /// The write.
        load: LoadId,
        /// How long it may take.
        hold: Duration,
    },
    /// A write to the origin has ended. What it wrote is stored if nobody else wrote or invalidated the key since it
    /// began.
    Ended {
        /// Where.
        entry: EntryId,
        /// The write.
        load: LoadId,
        /// What is stored; `None`: nothing.
        put: Option<Put>,
        /// The write's number, if the origin has it: pending writes that are older are superseded.
        written: Option<Seq>,
    },
    /// A write behind: the entry is dirty until the write is at the origin.
    Pending {
        /// Where.
        entry: EntryId,
        /// The write.
        load: LoadId,
        /// What everybody answers with meanwhile; its times count from when the origin has it.
        put: Put,
        /// Its queue.
        partition: Partition,
        /// Lines that the queue may hold; beyond it the write is refused.
        backlog_max: u64,
        /// What is waited for, where it is to be had, for three quarters of the command's time-out.
        wanted: Durability,
    },
}

impl Along {
    /// The entry that it is about.
    pub fn entry(&self) -> &EntryId {
        match self {
            Self::Value { entry, .. }
            | Self::Quarantine { entry, .. }
            | Self::Ended { entry, .. }
            | Self::Pending { entry, .. } => entry,
        }
    }
}

/// Asks for writes that are to be brought to their origin.
#[derive(Clone, Debug)]
pub struct Take {
    /// Of which queue.
    pub partition: Partition,
    /// Who: the owner of a queue is one at a time.
    pub worker: String,
    /// The name in the consumer group, the same over restarts.
    pub consumer: String,
    /// For how long the queue is the worker's own.
    pub lease: Duration,
    /// The longest that a write is parked for: one that is due later was parked while the server's clock was ahead, and is
    /// due now.
    pub pause_max: Duration,
    /// What another took and did not settle for longer than this is taken over.
    pub idle: Duration,
    /// Whether that is looked for now. Who has just come by the queue does so in any case.
    pub adopt: bool,
    /// Most writes.
    pub max: usize,
}

/// What a [`Take`] brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The queue is the worker's.
    Own {
        /// To be written. One that is taken anew while it is in hand comes again.
        writes: Vec<Pending>,
        /// Lines that newer writes of their keys had superseded: done with.
        superseded: u64,
        /// There is more to take at once.
        more: bool,
        /// When the next parked write is due, if nothing else comes.
        due: Option<Duration>,
    },
    /// It is another's.
    Other {
        /// For so long, unless that one goes on.
        left: Duration,
    },
}

/// Which line of which queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// The stream's id.
    pub id: String,
    /// The entry that is dirty.
    pub entry: EntryId,
    /// The write's number, which fences it at the origin.
    pub seq: Seq,
}

/// A write that waits for its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub line: Line,
    /// The lineage in which it was accepted.
    pub lineage: LineageId,
    /// How often the origin was asked in vain.
    pub attempts: u32,
    /// When it was accepted, by the server's clock, in milliseconds since 1970.
    pub since_ms: u64,
}

/// What became of a write that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is at the origin: the entry is clean.
    Flushed {
        /// An event goes with it: from here on what was read of a lagging replica before counts as old.
        event: bool,
    },
    /// The origin has a newer one: the entry is dropped, with an event.
    Outdone,
    /// It is tried again after a pause.
    Parked {
        /// How long.
        pause: Duration,
        /// The origin was asked.
        counts: bool,
        /// Why, for whoever looks.
        error: String,
    },
    /// It is a dead letter: the entry is dropped, with an event. If there are too many of them already, it is parked.
    Dead {
        /// Most dead letters.
        max: u64,
        /// The pause if there are more.
        pause: Duration,
        /// Why.
        error: String,
    },
}

/// How a [`Settled`] was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// As was said.
    Done,
    /// A newer write of the key came meanwhile: nothing but this line is done with.
    Superseded,
    /// Parked, for there is no room for another dead letter.
    Full,
}

/// Gives a queue up.
#[derive(Clone, Debug)]
pub struct Leave {
    /// Which.
    pub partition: Partition,
    /// Whose it was; of another's queue nothing is given up.
    pub worker: String,
    /// Whose it is from now on, and for how long it has to come for it. `None`: whoever comes first, and the worker is no
    /// longer among those that are there.
    pub to: Option<(String, Duration)>,
}

/// A look at all queues, by a worker that says with it that it is there.
#[derive(Clone, Debug)]
pub struct Look {
    /// Queues from here on are none of its.
    pub beyond: Partition,
    /// Who.
    pub worker: String,
    /// A worker that has not looked for so long is not there.
    pub gone: Duration,
}

/// What a [`Look`] brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How much waits in all.
    pub backlog: Backlog,
    /// Queues beyond those that are known, with something in them.
    pub beyond: Vec<Partition>,
    /// Who is there, in order, at most [`WORKERS_MAX`].
    pub workers: Vec<String>,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Lines in the queues.
    pub pending: u64,
    /// Age of the oldest.
    pub oldest: Option<Duration>,
    /// Dead letters.
    pub dead: u64,
}

/// A pending write, for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub line: Line,
    /// How often the origin was asked in vain.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since 1970.
    pub since_ms: u64,
    /// What the last attempt brought.
    pub error: Option<String>,
    /// It is parked, and tried again in so long.
    pub due: Option<Duration>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The stream's id.
    pub id: String,
    /// The write.
    pub pending: Pending,
    /// What [`super::wire`] made of its value.
    pub envelope: Bytes,
    /// Why the origin does not have it.
    pub error: String,
    /// When it died, in milliseconds since 1970.
    pub died_ms: u64,
}
