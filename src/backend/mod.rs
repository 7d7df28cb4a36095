//! What the instances of a cluster share, in coherd's own terms: entries with leases, the invalidation log, members,
//! the inbox. Two implementations that behave alike: `valkey` (the real thing) and `memory` (one process).
//!
//! Every operation of one shard that says "one step" is atomic: nothing of another caller happens within it.

mod entry;
pub mod guarded;
mod hot;
mod lock;
pub mod measured;
pub mod memory;
mod streams;
mod testimony;
pub mod valkey;
pub mod wire;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::guard::LeftAlone;
use crate::model::{
    CallerId, Event, Key, LineageId, Namespace, Nonce, Quota, Seq, Shard, ShardCount, Verdict,
};

pub use entry::{Claim, EntryId, Fill, FillRefusal, Filled, Found, LoadId, Lookup, Put, Stored, Token};
pub use hot::{HOT_KEPT, HOT_KEYS_MAX, HOT_MERGED, HotKey};
pub use lock::{Fence, LockAsk, LockToken, Locked};
pub use streams::{StreamEntry, Streams};
pub use testimony::{Judged, Testimony, Told};
pub use write::{
    Along, Backlog, Dead, Durability, HOLD_MAX, Leave, Line, Look, PARTITIONS_MAX, Partition, Pending,
    Settled, Settlement, Survey, Take, Taken, WORKERS_MAX, Waiting,
};

/// An event on its way into one shard's log.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The event, with those of its targets that concern this shard.
    pub event: Event,
    /// The L2 entries of the keys it names, dropped at once instead of at their expiry.
    pub entries: Vec<EntryId>,
    /// Members are asked to confirm as soon as they have applied it.
    pub confirm: bool,
    /// What takes effect with the event, whose first target is its key.
    pub along: Option<Along>,
    /// The highest number the publisher has seen: a lineage begun by this event starts above it.
    pub known: Seq,
    /// A `request_id` counts as seen only if its first event has a higher number than this; 0: in any case.
    pub repeat_after: Seq,
}

/// What became of a [`Publication`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The event's place.
    pub token: Token,
    /// Its `request_id` was seen within the last minute: nothing was logged, this is the first one's place.
    pub repeated: bool,
    /// The members at that moment, read in the same step.
    pub members: Arc<[Member]>,
    /// A key that it names holds a pending write: there it takes effect when that is at the origin.
    pub deferred: bool,
    /// What an ended write left was stored.
    pub stored: bool,
    /// What keeps it.
    pub durability: Durability,
}

/// An instance, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `instance.id`.
    pub instance: String,
    /// The last event it has confirmed.
    pub cursor: Seq,
    /// The longest it may answer without hearing from the log, in any namespace.
    pub max_staleness: Duration,
    /// How many heartbeats it has sent: frozen when it is gone.
    pub beats: u64,
}

/// A heartbeat: a write on purpose, refused by a primary that lost its quorum.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Who.
    pub member: Member,
    /// The highest number it has ever seen: a lineage begun by this beat starts above it.
    pub known: Seq,
}

/// Where a shard's log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The lineage and the last event.
    pub token: Token,
    /// The last event's nonce.
    pub nonce: Nonce,
    /// The server's clock, in microseconds since 1970.
    pub time_us: u64,
    /// Calls of the function `coherd_invalidate` that logged an event, and that no member was told of before: each is
    /// told once.
    pub called: u64,
}

/// An event as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number.
    pub seq: Seq,
    /// The nonce of the event before it.
    pub previous: Nonce,
    /// Its own.
    pub nonce: Nonce,
    /// What it says.
    pub event: Event,
    /// Members are asked to confirm it at once.
    pub confirm: bool,
    /// When it was logged, by the server's clock, in microseconds since 1970.
    pub at_us: u64,
}

/// A request that counts against a limit of the whole cluster.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Where.
    pub namespace: &'a Namespace,
    /// Whose.
    pub caller: CallerId,
    /// What the caller may, as this instance is configured.
    pub quota: Quota,
}

/// What a subscription brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// An event, right after it was logged.
    Event {
        /// Where.
        shard: Shard,
        /// The lineage it was logged in.
        lineage: LineageId,
        /// The event.
        logged: Logged,
    },
    /// The lease of a key that somebody waits for has ended.
    Wake {
        /// Which namespace.
        namespace: Namespace,
        /// Which key.
        key: Key,
        /// A value was stored; else the load brought nothing or its lease was given up.
        filled: bool,
    },
    /// A lock that somebody waits for was given up.
    Unlocked(Key),
    /// There is something to do in a queue of writes whose worker had taken all there was, or it has no worker any more.
    Work(Shard, Partition),
    /// A member has applied everything up to a number.
    Confirmed {
        /// Where.
        shard: Shard,
        /// Who.
        instance: String,
        /// Up to which event.
        cursor: Seq,
    },
    /// A message that another system published on the inbox channel, as it came.
    Inbox(Bytes),
    /// Entries were changed, past the instances or by one of them: what they are now is to be asked. Only where such
    /// changes are followed.
    Touched(Vec<EntryId>),
    /// The same of any of them, or nobody knows of which.
    TouchedAny,
    /// Messages were lost on the way here, or one could not be read: only the log knows.
    Lost,
    /// A message was too large to be taken in; of which kind is not known.
    Oversized,
}

/// A live subscription: confirmed by the server before it is handed out.
#[async_trait]
pub trait Subscription: Send {
    /// The next signal; `None` once the connection is gone. Cancel-safe: a call that is dropped loses nothing.
    async fn next(&mut self) -> Option<Signal>;

    /// A signal that is here already, in its turn: nothing is waited for, and `None` says nothing.
    fn ready(&mut self) -> Option<Signal> {
        None
    }

    /// Whether a shard's events and the messages of the inbox channel come here in the order in which they were sent.
    fn in_order_with_inbox(&self, _shard: Shard) -> bool {
        true
    }
}

/// An entry of the inbox stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// The stream's id.
    pub id: String,
    /// Fields as they came, in order, repeated names kept.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// Whether the shared part is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not now; why, without secrets.
    Down(String),
    /// Connected, checked, and its identity reconciled.
    Up {
        /// Counts connections made.
        generation: u64,
        /// Such as `valkey 9.1.2`.
        server: String,
        /// What an operator should mend, such as write-behind without persistence.
        warnings: Vec<String>,
    },
    /// It is there but must not be used; why, and what mends it.
    Refused(String),
}

/// Why an operation had no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection, or it broke: whether the operation took effect is unknown.
    #[error("the backend is not reachable: {0}")]
    Unavailable(String),
    /// No answer within `command_timeout`: whether the operation took effect is unknown.
    #[error("the backend did not answer within its time-out")]
    TimedOut,
    /// The server answered with a refusal (out of memory, no quorum, no rights): nothing took effect.
    #[error("the backend refused: {0}")]
    Refused(String),
    /// The answer was not understood.
    #[error("the backend's answer was not understood: {0}")]
    Protocol(String),
    /// As many writes wait as may: this one was not accepted.
    #[error("{0} writes wait for their origin already")]
    Full(u64),
    /// Its breaker is open: it was not asked.
    #[error("the backend is not asked: {0}")]
    LeftAlone(#[from] LeftAlone),
}

/// What instances share.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// How many shards its keys are spread over.
    fn shards(&self) -> ShardCount;

    /// Whether it is there; changes are seen by every holder.
    fn link(&self) -> watch::Receiver<LinkState>;

    /// Connects, reconnects with back-off, and returns when stopped. Runs as a supervised task.
    async fn keep_connected(&self, stop: CancellationToken) -> Result<(), BackendError>;

    /// Gives the connection to a shard's server up at once: it does not answer any more. [`Self::keep_connected`] makes
    /// another.
    fn distrust(&self, shard: Shard, why: &str);

    /// All shards are on one server: where one does not answer, none does.
    fn stands_as_one(&self) -> bool {
        true
    }

    /// Reads entries as they are stored, in one round trip, checking nothing; a replica may answer.
    /// The answers are in the order of the question.
    async fn peek(&self, entries: &[EntryId]) -> Result<Vec<Option<Stored>>, BackendError>;

    /// Finds an entry or takes the lease to load it. One step.
    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError>;

    /// Stores what a load brought and ends its lease. One step.
    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError>;

    /// Who has the lease to load an entry, and for how much longer. A plain read, which proves nothing.
    async fn lease(&self, entry: &EntryId) -> Result<Option<(LoadId, Duration)>, BackendError>;

    /// Ends a lease without a value, so that another may load.
    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError>;

    /// Logs an event, voids the leases of the keys it names, marks its names, announces it. One step.
    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError>;

    /// Records that a member lives, and says where the log stands. One step.
    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError>;

    /// Records how far a member has come, and tells whoever waits.
    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError>;

    /// Where the log stands: a read barrier.
    async fn head(&self, shard: Shard) -> Result<Token, BackendError>;

    /// Events after `after`, oldest first, at most `max`. A first event that is not `after + 1` means that those
    /// between were trimmed.
    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError>;

    /// The members.
    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError>;

    /// Forgets a member, if it has sent no heartbeat beyond `beats`; `None` forgets it in any case (it leaves).
    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError>;

    /// Says what a member has seen of the lineage that it followed, where another server began the present one and entries
    /// of before may be kept: what is missing is logged again. A backend whose server is never another one has nothing to
    /// ask. One step.
    async fn testify(&self, shard: Shard, testimony: Testimony) -> Result<Judged, BackendError> {
        let _ = (shard, testimony);
        Ok(Judged::None)
    }

    /// Subscribes to every shard's events and to wake-ups, confirmations and the inbox channel.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError>;

    /// Counts a request, by GCRA on the server's clock, or refuses it; a refused one costs nothing. One step.
    async fn admit(&self, arrival: Arrival<'_>) -> Result<Verdict, BackendError>;

    /// Takes a lock, or says how long another has it. One step.
    async fn lock(&self, ask: LockAsk<'_>) -> Result<Locked, BackendError>;

    /// Holds a lock for `ttl` from now; `None` where the token does not hold it, or the store is not the one it was when
    /// the lock was taken: another may have had it meanwhile. One step.
    async fn extend(
        &self,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Option<Fence>, BackendError>;

    /// Gives a lock up; whether the token held it. One step.
    async fn unlock(&self, name: &Key, token: &LockToken) -> Result<bool, BackendError>;

    /// Keeps the keys that were read most in a namespace, for instances to come, beside those that others have kept;
    /// see [`HotKey`]. One step.
    async fn keep_hot(&self, namespace: &Namespace, keys: &[HotKey]) -> Result<(), BackendError>;

    /// The keys that were kept as the hottest of a namespace, hottest first, at most [`HOT_KEYS_MAX`].
    async fn hot(&self, namespace: &Namespace) -> Result<Vec<Key>, BackendError>;

    /// Entries of the inbox stream that no member has taken yet; waits up to `wait` for the first.
    async fn inbox(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError>;

    /// Entries that a member took and did not finish for longer than `idle`.
    async fn inbox_adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError>;

    /// Finishes entries of the inbox stream: their events are logged.
    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError>;

    /// Takes writes of a queue, if it is the worker's or nobody's: those that are due again, those that another left
    /// behind, new ones. Once that is all, [`Signal::Work`] tells of the next. One step.
    async fn take_writes(&self, shard: Shard, take: Take) -> Result<Taken, BackendError>;

    /// What [`wire`] made of the value of a write that was taken; `None` where it waits no longer, or a newer write of its
    /// key has its place.
    async fn value_of_write(&self, shard: Shard, line: &Line) -> Result<Option<Bytes>, BackendError>;

    /// Says what became of writes that were taken; the answers are in their order. One step.
    async fn settle_writes(
        &self,
        shard: Shard,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Result<Vec<Settlement>, BackendError>;

    /// Gives a queue up, or hands it to another; [`Signal::Work`] tells those who wait for it. One step.
    async fn leave_writes(&self, shard: Shard, leave: Leave) -> Result<(), BackendError>;

    /// How much waits, and who is there to bring it to its origin. One step.
    async fn survey(&self, shard: Shard, look: Look) -> Result<Survey, BackendError>;

    /// Pending writes of a queue, oldest first, at most `max`; superseded ones left out.
    async fn waiting_writes(
        &self,
        shard: Shard,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Waiting>, BackendError>;

    /// Dead letters after the one with the stream's id `after` (empty: from the first), oldest first, at most `max`.
    async fn dead_writes(&self, shard: Shard, after: &str, max: usize) -> Result<Vec<Dead>, BackendError>;

    /// Drops dead letters by the stream's ids; how many there were.
    async fn drop_dead(&self, shard: Shard, ids: &[String]) -> Result<u64, BackendError>;
}
