//! Writes to an origin: through, answered once it is there; behind, answered once it is in L2; or past the cache, with
//! the copies dropped.
//!
//! Every write has a number, that of its event, and an origin that obeys it never lets an older write undo a newer one
//! (coherence.md, part 3). `through` writes while the key is in quarantine; `behind` has the workers of the queues,
//! `letters` what never reached its origin.

mod accepted;
mod behind;
mod hand;
mod heir;
mod letters;
mod pause;
mod share;
mod through;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::watch::Sender;

use self::accepted::Accepted;
use self::behind::Worker;
pub use self::letters::{DeadWrite, LettersError, PendingWrite, Retried};
use self::share::Shares;
use crate::backend::{Along, Backend, Partition, Token};
pub use crate::backend::{BackendError, Backlog, Durability};
use crate::cache::{Cache, PutError};
use crate::coherence::{Coherence, Door, PublishError, Receipt, Terms};
use crate::model::{Event, Key, LineageId, LogId, Namespace, Seq, Shard, Stated, Tag, Target};
use crate::origin::{self, Origin};
pub use crate::origin::{Change, OriginError, WriteError as OriginWriteError};
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::WriteBehindMetrics;

/// How long a write through may take beyond its attempts at the origin, before others may fill the key again.
const HOLD_SLACK: Duration = Duration::from_secs(10);

/// What a write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To the origin, and the copies are dropped.
    Invalidate,
    /// To the origin, and what it took is the copy.
    Through,
    /// To L2, and from there to the origin.
    Behind,
}

/// A namespace that can be written.
pub struct Written {
    /// What a write means that does not say so itself.
    pub mode: Mode,
    /// Where it goes.
    pub origin: Arc<dyn Origin>,
    /// The longest that one attempt takes.
    pub timeout: Duration,
    /// Further attempts of a write through after a temporary failure.
    pub retries: u32,
    /// Writes behind that are on their way at once.
    pub at_once: usize,
    /// Its replicas may lag behind a write.
    pub lags: bool,
}

/// `[write_behind]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Queues of a shard.
    pub partitions: Partition,
    /// Writes in hand at once, of each queue.
    pub batch: usize,
    /// After a worker died, another has its work within this.
    pub takeover: Duration,
    /// Pending writes, and dead letters, of all queues together.
    pub backlog_max: u64,
    /// The first pause after a failure; each later one is twice as long.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// Then a write is a dead letter.
    pub attempts: u32,
    /// How long work in hand may go on once the instance stops.
    pub grace: Duration,
}

/// A change as it was asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What changes.
    pub change: Change,
    /// Tags the value carries, beside those of the namespace.
    pub tags: Vec<Tag>,
    /// Its own times.
    pub lifetime: Stated,
    /// What it means; `None`: what the namespace says.
    pub mode: Option<Mode>,
    /// How durable a write behind shall be before it is acknowledged, where that is to be had.
    pub wanted: Durability,
    /// Somebody waits until no instance answers with anything older.
    pub confirm: bool,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its event.
    pub receipt: Receipt,
    /// The id of a write behind, which the origin does not have yet.
    pub behind: Option<LogId>,
}

/// Why a change was not made, or is not known to be.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The namespace takes no writes.
    #[error("the namespace takes no writes")]
    Off,
    /// Its origin has no way to remove a key.
    #[error("the namespace's origin has no `delete`")]
    NoRemovals,
    /// Over `max_value`.
    #[error("the value has {0} bytes, more than `max_value`")]
    TooLarge(usize),
    /// The origin did not take it, or did not say so.
    #[error(transparent)]
    Origin(#[from] origin::WriteError),
    /// The backend did not.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The instance is stopping, or the work was lost.
    #[error("the instance is stopping")]
    Stopping,
}

impl From<PutError> for WriteError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::TooLarge(size) => Self::TooLarge(size),
            PutError::Backend(error) => Self::Backend(error),
            PutError::LeaseLost | PutError::Off => Self::Off,
        }
    }
}

/// Writes, as this instance takes part in them.
pub struct Writes {
    shared: Arc<Shared>,
}

/// What its parts share.
struct Shared {
    written: BTreeMap<String, Slot>,
    settings: Settings,
    backend: Arc<dyn Backend>,
    coherence: Arc<Coherence>,
    cache: Arc<Cache>,
    supervisor: Supervisor,
    metrics: Arc<WriteBehindMetrics>,
    accepted: Accepted,
    /// `instance.id`, which is the same over restarts.
    instance: String,
    backlog: Mutex<Backlog>,
    /// Who is to have which queue.
    shares: Sender<Shares>,
}

struct Slot {
    of: Written,
    places: Semaphore,
}

impl Writes {
    /// Builds the room; nothing runs before [`Writes::start`].
    pub fn new(
        written: BTreeMap<String, Written>,
        settings: Settings,
        instance: &str,
        backend: Arc<dyn Backend>,
        (cache, coherence): (Arc<Cache>, Arc<Coherence>),
        supervisor: Supervisor,
        metrics: Arc<WriteBehindMetrics>,
    ) -> Self {
        let slot = |of: Written| Slot { places: Semaphore::new(of.at_once.max(1)), of };
        let written = written.into_iter().map(|(name, of)| (name, slot(of))).collect();
        let shared = Shared {
            written,
            settings,
            backend,
            coherence,
            cache,
            supervisor,
            metrics,
            accepted: Accepted::default(),
            instance: instance.to_owned(),
            backlog: Mutex::default(),
            shares: Sender::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Hands the workers of the queues to the supervisor, where there is anything to write.
    pub fn start(&self) {
        let shared = &self.shared;
        if shared.written.is_empty() {
            return;
        }
        shared.metrics.pending_max.set(i64::try_from(shared.settings.backlog_max).unwrap_or(i64::MAX));
        for shard in shared.backend.shards().all() {
            for partition in 0..shared.settings.partitions {
                let shared = Arc::clone(shared);
                self.shared.supervisor.task(Stage::Write, "write.behind", move |stop| {
                    let worker = Worker::new(Arc::clone(&shared), shard, partition);
                    async move {
                        worker.run(&stop).await;
                        Ok(())
                    }
                });
            }
        }
        let of = Arc::clone(shared);
        shared.supervisor.task(Stage::Write, "write.backlog", move |stop| {
            let shared = Arc::clone(&of);
            async move {
                watch::watch(&shared, &stop).await;
                Ok(())
            }
        });
    }

    /// Whether the namespace's origin can be written.
    pub fn takes(&self, namespace: &str) -> bool {
        self.shared.written.contains_key(namespace)
    }

    /// Changes a key.
    pub async fn write(&self, namespace: &Namespace, key: &Key, ask: Ask) -> Result<Done, WriteError> {
        let slot = self.shared.written.get(&**namespace).ok_or(WriteError::Off)?;
        if matches!(ask.change, Change::Delete) && !slot.of.origin.removes() {
            return Err(WriteError::NoRemovals);
        }
        match ask.mode.unwrap_or(slot.of.mode) {
            Mode::Behind => self.shared.put_behind(namespace, key, ask).await,
            mode => through::write(&self.shared, mode, namespace, key, ask).await,
        }
    }

    /// How much was waiting when last looked at.
    pub fn backlog(&self) -> Backlog {
        *self.shared.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    async fn put_behind(&self, namespace: &Namespace, key: &Key, ask: Ask) -> Result<Done, WriteError> {
        let draft = self.cache.draft(namespace, key, &ask.change, ask.lifetime, &ask.tags)?;
        let shard = self.coherence.shard_of(namespace, key);
        let partition = self.partition(namespace, key);
        let envelope = draft.put.envelope.clone();
        let along = Along::Pending {
            entry: draft.entry,
            load: draft.load,
            put: draft.put,
            partition,
            backlog_max: self.settings.backlog_max.div_ceil(u64::from(self.settings.partitions)),
            wanted: ask.wanted,
        };
        let receipt = self.publish(namespace, key, along, ask.confirm).await?;
        let id = receipt.token(shard).map(|Token { lineage, seq }| {
            self.accepted.keep(shard, lineage, seq, envelope);
            LogId::new(vec![(shard, seq)])
        });
        Ok(Done { receipt, behind: id })
    }

    /// A key is always in the same queue.
    fn partition(&self, namespace: &Namespace, key: &Key) -> Partition {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(key.as_bytes(), namespace.len() as u64);
        let spread = hash % u64::from(self.settings.partitions);
        Partition::try_from(spread).unwrap_or_default()
    }

    /// The event of a write, and what goes along with it.
    async fn publish(
        &self,
        namespace: &Namespace,
        key: &Key,
        along: Along,
        confirm: bool,
    ) -> Result<Receipt, BackendError> {
        let event = Event::hard(vec![Target::Key(namespace.clone(), key.clone())]);
        let terms = Terms { confirm, ..Terms::of(Door::Write) };
        self.coherence.publish_along(event, along, &terms).await.map_err(|error| match error {
            PublishError::Backend(error) => error,
            // A key has no boundary to be on.
            PublishError::NotOnBoundary(prefix) => BackendError::Refused(prefix),
        })
    }

    fn slot(&self, namespace: &str) -> Option<&Slot> {
        self.written.get(namespace)
    }
}

/// What tells an origin which write it is, over all attempts.
fn fence(shard: Shard, lineage: &LineageId, seq: Seq) -> origin::Fence {
    origin::Fence { seq, idempotency_key: format!("coherd-{}-{}-{seq}", lineage.as_str(), shard.0).into() }
}
