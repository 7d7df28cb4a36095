//! L1: one namespace's copies in this process, weighed in bytes. The only place that knows moka.
//!
//! moka's `get_with` would put a load's result in place without asking what happened meanwhile; it is not used. Copies
//! are stored with their stamps, and whoever finds one judges it.

use std::hash::RandomState;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::{Expiry, sync};

use super::copy::Copy;
use crate::clock::Clock;
use crate::telemetry::L1Metrics;
use crate::telemetry::labels::EvictionCause;

/// Which entry makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The least often used; a new key may be refused while all others are hot.
    TinyLfu,
    /// The least recently used.
    Lru,
}

/// One namespace's copies.
pub(super) struct L1 {
    copies: sync::Cache<Arc<str>, Arc<Copy>, RandomState>,
    metrics: L1Metrics,
}

struct Ttl(Clock);

impl Expiry<Arc<str>, Arc<Copy>> for Ttl {
    fn expire_after_create(&self, _: &Arc<str>, copy: &Arc<Copy>, _: Instant) -> Option<Duration> {
        Some(copy.left(self.0.now()))
    }

    fn expire_after_update(
        &self,
        _: &Arc<str>,
        copy: &Arc<Copy>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(copy.left(self.0.now()))
    }
}

impl L1 {
    pub(super) fn new(capacity: u64, policy: Policy, clock: Clock, metrics: L1Metrics) -> Self {
        let policy = match policy {
            Policy::TinyLfu => EvictionPolicy::tiny_lfu(),
            Policy::Lru => EvictionPolicy::lru(),
        };
        let evictions = metrics.evictions.clone();
        let copies = sync::Cache::builder()
            .max_capacity(capacity)
            .weigher(|key: &Arc<str>, copy: &Arc<Copy>| copy.weight(key.len()))
            .eviction_policy(policy)
            .expire_after(Ttl(clock))
            .eviction_listener(move |_, _, cause| {
                let cause = match cause {
                    RemovalCause::Size => EvictionCause::Size,
                    RemovalCause::Expired => EvictionCause::Expired,
                    RemovalCause::Replaced => EvictionCause::Replaced,
                    RemovalCause::Explicit => EvictionCause::Explicit,
                };
                evictions.of(cause).inc();
            })
            .build_with_hasher(RandomState::default());
        Self { copies, metrics }
    }

    /// The copy, not judged.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Copy>> {
        self.copies.get(key)
    }

    /// Keeps a copy, unless the one held is newer by its stamp and no older by its load: a slow load never replaces
    /// what a faster one brought.
    pub(super) fn put(&self, key: Arc<str>, copy: Arc<Copy>) {
        let Some(stamp) = copy.stamp else { return };
        if let Some(held) = self.copies.get(&*key) {
            let ahead = held.stamp.is_some_and(|held| stamp.same_history(held) && stamp.seq() < held.seq());
            if ahead && copy.born <= held.born {
                return;
            }
        }
        self.copies.insert(key, copy);
    }

    /// Forgets a copy that is known to be of no more use.
    pub(super) fn remove(&self, key: &str) {
        self.copies.invalidate(key);
    }

    /// Does what moka leaves to its callers: an idle cache would never let go of what has expired.
    pub(super) fn tidy(&self) {
        self.copies.run_pending_tasks();
        self.metrics.entries.set(i64::try_from(self.copies.entry_count()).unwrap_or(i64::MAX));
        self.metrics.bytes.set(i64::try_from(self.copies.weighted_size()).unwrap_or(i64::MAX));
    }
}
