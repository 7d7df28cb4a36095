//! The read path: L1, L2, origin, and the rule of what may be answered.

mod answer;

pub use answer::{Answer, Demand, Entry, GetError, LeaseGrant, PutError, Via};

use std::collections::BTreeMap;

use crate::coherence::Receipt;
use crate::model::{Key, Stated, Tag, Value};

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
pub struct Cache {}

impl Cache {
    /// Whether the namespace is configured.
    pub fn knows(&self, _namespace: &str) -> bool {
        unimplemented!()
    }

    /// Whether its origin is `none`: the application loads and stores by itself.
    pub fn is_cache_aside(&self, _namespace: &str) -> bool {
        unimplemented!()
    }

    /// Reads one key. The namespace must be known.
    pub async fn get(&self, _namespace: &str, _key: &Key, _demand: &Demand) -> Result<Answer, GetError> {
        unimplemented!()
    }

    /// Reads many: one round trip to L2 for all, misses loaded side by side. Answers in the order of the keys.
    pub async fn get_many(
        &self,
        _namespace: &str,
        _keys: &[Key],
        _demand: &Demand,
    ) -> Vec<Result<Answer, GetError>> {
        unimplemented!()
    }

    /// Writes to the cache alone (cache-aside).
    pub async fn put(&self, _namespace: &str, _key: &Key, _write: Write) -> Result<Written, PutError> {
        unimplemented!()
    }

    /// Removes from the cache alone (cache-aside): an event.
    pub async fn delete(&self, _namespace: &str, _key: &Key) -> Result<Receipt, PutError> {
        unimplemented!()
    }

    /// For `/stats`.
    pub fn stats(&self) -> BTreeMap<String, NamespaceStats> {
        unimplemented!()
    }

    /// Starts what `/stats` counts afresh; the metrics go on.
    pub fn reset_stats(&self) {
        unimplemented!()
    }
}
