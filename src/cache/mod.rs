//! The read path: L1, L2, origin, and the rule of what may be answered.
//!
//! A read goes straight down: `l1` (moka, judged by the coherence room), a plain read of L2, a seat on a
//! `flight` (one load per key), the `load` itself (L2, lease, origin, fill). `freshness` decides, `reader` holds the way
//! together, `aside` is the other way for namespaces without an origin.

mod ahead;
mod answer;
mod aside;
mod copy;
mod explain;
#[cfg(test)]
mod explore;
mod flight;
mod foreign;
mod freshness;
pub(crate) mod fuzzing;
mod heat;
mod l1;
mod load;
mod loader;
mod monitor;
mod outcome;
mod reader;
mod refreshing;
mod setbacks;
mod space;
mod stats;
mod texts;
mod waiting;
mod warming;
mod wish;
mod writing;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::backend::{Backend, Token};
pub use crate::backend::{BackendError, LoadId};
use crate::coherence::{Coherence, Receipt};
use crate::model::{Content, Key, Stated, Tag, Value};
use crate::origin::Change;
pub use crate::origin::OriginError;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::Metrics;
use crate::telemetry::labels::{RefreshOutcome, RequestResult};

pub use answer::{Answer, Demand, Entry, GetError, LeaseGrant, PutError, Via};
pub use explain::Explanation;
pub use l1::Policy;
pub use space::Settings;
pub use warming::{Warm, WarmFrom, Warmed};
pub use wish::{Refreshers, Wish, Wished};
pub use writing::Draft;

use reader::Reader;
use space::Space;

/// Between two rounds of L1's housekeeping.
const TIDY: Duration = Duration::from_millis(500);

/// Rounds of housekeeping in which what is read no more loses half of its heat.
const COOL_EVERY: u64 = 20;

/// A write to the cache alone (`origin.kind = "none"`).
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The value.
    pub value: Value,
    /// Tags it carries, beside those of the namespace.
    pub tags: Vec<Tag>,
    /// Its own times, where the request's `Cache-Control` sets any.
    pub lifetime: Stated,
    /// `Coherd-Lease`: store only if nothing invalidated the key since the lease was given.
    pub lease: Option<String>,
    /// Somebody waits until no instance answers with anything older.
    pub confirm: bool,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub enum Written {
    /// Stored under its lease: 204.
    Leased,
    /// Logged as a change, and stored with it: 200 with the event's id.
    Changed(Receipt),
}

/// What `/stats` counts of a namespace, since the start or the last reset.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct NamespaceStats {
    pub l1_hits: u64,
    pub l2_hits: u64,
    pub stale: u64,
    pub negative: u64,
    pub misses: u64,
    pub collapsed: u64,
    pub loads: u64,
    pub refreshes: u64,
    pub fills_rejected: u64,
    pub l1_entries: u64,
    pub l1_bytes: u64,
}

/// The read path of every namespace.
pub struct Cache {
    reader: Arc<Reader>,
}

impl Cache {
    /// Builds the room; nothing runs before [`Cache::start`].
    pub fn new(
        namespaces: Vec<Settings>,
        instance: &str,
        backend: Arc<dyn Backend>,
        coherence: Arc<Coherence>,
        supervisor: Supervisor,
        metrics: &Metrics,
    ) -> Self {
        let space = |settings: Settings| {
            let of = metrics.namespace(&settings.name);
            (settings.name.to_string(), Arc::new(Space::new(settings, coherence.clock().clone(), of)))
        };
        let spaces = namespaces.into_iter().map(space).collect();
        let reader = Reader {
            backend,
            spaces,
            supervisor,
            instance: instance.to_owned(),
            given_back: Arc::new(Semaphore::new(reader::GIVEN_BACK_MAX)),
            lease_waits: Arc::clone(&metrics.lease_waits),
            process: rand::random(),
            loads: AtomicU64::new(0),
            monitor: OnceLock::new(),
            coherence,
        };
        Self { reader: Arc::new(reader) }
    }

    /// From here on copies are dropped that somebody has changed in L2 past the instances; the backend must tell of that.
    pub fn follow_foreign(&self) {
        self.reader.follow_foreign();
    }

    /// Hands the room's task to the supervisor.
    pub fn start(&self) {
        let reader = Arc::clone(&self.reader);
        self.reader.supervisor.task(Stage::Load, "cache.housekeeping", move |stop| {
            let reader = Arc::clone(&reader);
            async move {
                for round in 1.. {
                    if stop.run_until_cancelled(tokio::time::sleep(TIDY)).await.is_none() {
                        break;
                    }
                    let (now, cool) = (reader.now(), round % COOL_EVERY == 0);
                    reader.spaces.values().for_each(|space| space.tidy(now, cool));
                }
                Ok(())
            }
        });
    }

    /// From here on a share of what is answered and applied is followed up, and counted by what was found.
    pub fn monitor(&self, share: f64, metrics: &Metrics) {
        self.reader.monitored(share, metrics.coherence.checks.clone());
    }

    /// Whether the namespace is configured.
    pub fn knows(&self, namespace: &str) -> bool {
        self.reader.spaces.contains_key(namespace)
    }

    /// Whether its origin is `none`: the application loads and stores by itself.
    pub fn is_cache_aside(&self, namespace: &str) -> bool {
        self.reader.spaces.get(namespace).is_some_and(|space| space.settings.origin.is_none())
    }

    /// Reads one key.
    pub async fn get(&self, namespace: &str, key: &Key, demand: &Demand) -> Result<Answer, GetError> {
        match self.reader.spaces.get(namespace) {
            Some(space) => self.reader.get(space, key, demand).await,
            None => Err(unknown()),
        }
    }

    /// Reads many: one round trip to L2 for all, misses loaded side by side. Answers in the order of the keys.
    pub async fn get_many(
        &self,
        namespace: &str,
        keys: &[Key],
        demand: &Demand,
    ) -> Vec<Result<Answer, GetError>> {
        match self.reader.spaces.get(namespace) {
            Some(space) => self.reader.get_many(space, keys, demand).await,
            None => keys.iter().map(|_| Err(unknown())).collect(),
        }
    }

    /// Loads a key's copy anew, as was wished; says what became of that, or nothing where it had become needless or
    /// another load brought what was wished for.
    pub async fn refresh(&self, namespace: &str, wish: &Wish) -> Option<RefreshOutcome> {
        let space = self.reader.spaces.get(namespace)?;
        self.reader.refreshed(space, wish).await
    }

    /// Writes to the cache alone (cache-aside).
    pub async fn put(&self, namespace: &str, key: &Key, write: Write) -> Result<Written, PutError> {
        match self.reader.spaces.get(namespace) {
            Some(space) => self.reader.put(space, key, write).await,
            None => Err(PutError::Off),
        }
    }

    /// Removes from the cache alone (cache-aside): an event.
    /// `confirm`: somebody waits until no instance answers with anything older.
    pub async fn delete(&self, namespace: &str, key: &Key, confirm: bool) -> Result<Receipt, PutError> {
        match self.reader.spaces.get(namespace) {
            Some(space) => self.reader.delete(space, key, confirm).await,
            None => Err(PutError::Off),
        }
    }

    /// A written value or a removal, ready to be stored; `lifetime` are its own times, `tags` its own tags.
    pub fn draft(
        &self,
        namespace: &str,
        key: &Key,
        change: &Change,
        lifetime: Stated,
        tags: &[Tag],
    ) -> Result<Draft, PutError> {
        let space = self.reader.spaces.get(namespace).ok_or(PutError::Off)?;
        let content = match change {
            Change::Put(value) => {
                space.fits(value)?;
                Content::Present(value.clone())
            }
            Change::Delete => Content::Absent,
        };
        Ok(self.reader.draft(space, key, content, lifetime, tags, None))
    }

    /// Keeps what was stored under that token in L1, too.
    pub fn keep_written(&self, namespace: &str, key: &Key, draft: Draft, token: &Token) {
        if let Some(space) = self.reader.spaces.get(namespace) {
            self.reader.keep_written(space, key, draft, token);
        }
    }

    /// A request was not let in.
    pub fn count_rejected(&self, namespace: &str) {
        if let Some(space) = self.reader.spaces.get(namespace) {
            space.metrics.requests.of(RequestResult::Rejected).inc();
        }
    }

    /// For `/stats`.
    pub fn stats(&self) -> BTreeMap<String, NamespaceStats> {
        let spaces = self.reader.spaces.iter();
        spaces.map(|(name, space)| (name.clone(), space.baseline.stats(&space.metrics))).collect()
    }

    /// Starts what `/stats` counts afresh; the metrics go on.
    pub fn reset_stats(&self) {
        self.reader.spaces.values().for_each(|space| space.baseline.reset(&space.metrics));
    }
}

/// The door asks [`Cache::knows`] first.
fn unknown() -> GetError {
    GetError::Unavailable("there is no such namespace".to_owned())
}

#[cfg(test)]
mod tests;
