//! What the instances of a cluster share, in coherd's own terms: entries with leases, the invalidation log, members,
//! the inbox. Two implementations that behave alike: `valkey` (the real thing) and `memory` (one process).
//!
//! Every operation of one shard that says "one step" is atomic: nothing of another caller happens within it.

pub mod guarded;
mod lock;
pub mod measured;
pub mod memory;
pub mod valkey;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::guard::LeftAlone;
use crate::model::{
    CallerId, Event, Key, LineageId, Name, Namespace, Nonce, Quota, Seq, Shard, ShardCount, Verdict,
};

pub use lock::{Fence, LockAsk, LockToken, Locked};

/// Which entry of L2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryId {
    /// The namespace.
    pub namespace: Namespace,
    /// The namespace's `version`: a bump starts afresh.
    pub version: u32,
    /// The key.
    pub key: Key,
}

/// Who loads: one per load, never per client or instance, so that a load that lost its lease cannot pass for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoadId(pub Arc<str>);

/// A place in a shard's history: what a value is at least as new as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The lineage it counts in.
    pub lineage: LineageId,
    /// The last event that the value has seen.
    pub seq: Seq,
}

/// An L2 entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it is at least as new as: as stored, or the head where the backend has just proven it valid.
    pub token: Token,
    /// Names that cover it beside the key's own: tags, `depends_on`.
    pub names: Vec<Name>,
    /// The load that stored it.
    pub load: LoadId,
    /// What [`wire`] made of the value.
    pub envelope: Bytes,
    /// A pending write: the entry is newer than the origin.
    pub dirty: Option<Seq>,
}

/// Asks for an entry and, where there is no valid fresh one, for the lease to load it.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Which.
    pub entry: EntryId,
    /// The key's own names: [`crate::model::covering`].
    pub covering: Vec<Name>,
    /// The lease wanted; `None` only looks.
    pub claim: Option<Claim>,
    /// The load behind the copy that the caller already holds: if the entry is still that one, it is not sent again.
    pub have: Option<LoadId>,
}

/// A wish to load.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The load.
    pub load: LoadId,
    /// How long the lease lasts unless it is given up.
    pub lease: Duration,
    /// Load even beside a valid fresh entry: beside any (`no-cache`), or, where the lookup names the copy that the
    /// caller has, beside that one only (a refresh before the time).
    pub even_if_fresh: bool,
}

/// What a [`Lookup`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A valid, fresh entry; its token is the head, for it was checked against every watermark just now.
    Fresh(Stored),
    /// The entry is the copy that the caller holds, valid as of this token.
    NotModified(Token),
    /// The lease is the caller's; what it loads from now on is as new as the token. Beside it, a copy that only time
    /// or a soft event made stale, with the token it was stored under.
    Leased {
        /// What the load will be as new as.
        token: Token,
        /// The stale copy.
        stale: Option<Stored>,
    },
    /// Another load holds the lease. A [`Signal::Wake`] comes when it ends.
    Busy {
        /// What is left of that lease.
        left: Duration,
        /// The stale copy.
        stale: Option<Stored>,
    },
    /// No valid fresh entry, and no lease was asked for.
    Nothing {
        /// The stale copy.
        stale: Option<Stored>,
    },
}

/// Stores what a load brought, if the load still may.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Which.
    pub entry: EntryId,
    /// The load; its lease ends with this, whatever the answer.
    pub load: LoadId,
    /// The token that came with the lease.
    pub token: Token,
    /// The key's own names.
    pub covering: Vec<Name>,
    /// What is stored.
    pub put: Put,
    /// The load holds the lease; else the token came from the head, and only newer events keep the value out.
    pub leased: bool,
}

/// A value on its way into L2.
#[derive(Clone, Debug)]
pub struct Put {
    /// Names that cover it beside the key's own.
    pub names: Vec<Name>,
    /// What [`wire`] made of it.
    pub envelope: Bytes,
    /// For how long it is fresh.
    pub fresh: Duration,
    /// For how long it is kept, fresh and stale.
    pub kept: Duration,
}

/// What became of a [`Fill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Stored.
    Stored,
    /// Refused: an old value was kept out.
    Refused(FillRefusal),
}

/// Why a fill was refused: the `cause` of `coherd_fills_rejected_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FillRefusal {
    /// The lease expired, or an event for the key voided it.
    LeaseLost,
    /// The shard began another lineage meanwhile.
    Lineage,
    /// An event newer than the token named a name that covers the entry.
    Stale,
    /// The entry holds a pending write.
    Dirty,
}

/// An event on its way into one shard's log.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The event, with those of its targets that concern this shard.
    pub event: Event,
    /// The L2 entries of the keys it names, dropped at once instead of at their expiry.
    pub entries: Vec<EntryId>,
    /// Members are asked to confirm as soon as they have applied it.
    pub confirm: bool,
    /// A value that takes effect with the event, under the event's own token (a write to the cache alone).
    pub value: Option<(EntryId, LoadId, Put)>,
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
    pub members: Vec<Member>,
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
    /// The server's clock, in milliseconds since 1970.
    pub time_ms: u64,
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
    /// When it was logged, by the server's clock, in milliseconds since 1970.
    pub at_ms: u64,
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
    /// Messages were lost on the way here, or one could not be read: only the log knows.
    Lost,
}

/// A live subscription: confirmed by the server before it is handed out.
#[async_trait]
pub trait Subscription: Send {
    /// The next signal; `None` once the connection is gone. Cancel-safe: a call that is dropped loses nothing.
    async fn next(&mut self) -> Option<Signal>;
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

    /// Gives the connection up at once: it does not answer any more. [`Self::keep_connected`] makes another.
    fn distrust(&self, why: &str);

    /// Reads entries as they are stored, in one round trip, checking nothing; a replica may answer.
    /// The answers are in the order of the question.
    async fn peek(&self, entries: &[EntryId]) -> Result<Vec<Option<Stored>>, BackendError>;

    /// Finds an entry or takes the lease to load it. One step.
    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError>;

    /// Stores what a load brought and ends its lease. One step.
    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError>;

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
}
