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
    clock: Clock,
    metrics: L1Metrics,
}

/// When moka lets go of a copy, by the machine's clock.
struct Ttl(Clock);

impl Ttl {
    fn left(&self, copy: &Copy) -> Option<Duration> {
        match self.0 {
            Clock::Boottime => Some(copy.left(self.0.now())),
            // A paused clock has nothing to do with the machine's.
            Clock::Tokio(_) => None,
        }
    }
}

impl Expiry<Arc<str>, Arc<Copy>> for Ttl {
    fn expire_after_create(&self, _: &Arc<str>, copy: &Arc<Copy>, _: Instant) -> Option<Duration> {
        self.left(copy)
    }

    fn expire_after_update(
        &self,
        _: &Arc<str>,
        copy: &Arc<Copy>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.left(copy)
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
            .expire_after(Ttl(clock.clone()))
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
        Self { copies, clock, metrics }
    }

    /// The copy, not judged, while it is of any use.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Copy>> {
        self.find(key).filter(|copy| !copy.left(self.clock.now()).is_zero())
    }

    /// The copy, not judged, and perhaps of no use any more: moka's clock stands still while the machine is suspended.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Copy>> {
        self.copies.get(key)
    }

    /// Keeps a copy that can be judged, unless the one held is better.
    pub(super) fn put(&self, key: Arc<str>, copy: Arc<Copy>) {
        if copy.stamp.is_some() && self.copies.get(&*key).is_none_or(|held| copy.replaces(&held)) {
            self.copies.insert(key, copy);
        }
    }

    /// Forgets a copy that is known to be of no more use.
    pub(super) fn remove(&self, key: &str) {
        self.copies.invalidate(key);
    }

    /// Forgets all copies.
    pub(super) fn clear(&self) {
        self.copies.invalidate_all();
    }

    /// The keys of the copies, in no order; of those that come or go meanwhile some or none.
    pub(super) fn keys(&self) -> impl Iterator<Item = Arc<str>> + Send {
        self.copies.iter().map(|(key, _)| Arc::clone(&*key))
    }

    /// Does what moka leaves to its callers: an idle cache would never let go of what has expired.
    pub(super) fn tidy(&self) {
        self.copies.run_pending_tasks();
        self.metrics.entries.set(i64::try_from(self.copies.entry_count()).unwrap_or(i64::MAX));
        self.metrics.bytes.set(i64::try_from(self.copies.weighted_size()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Entry;
    use super::super::copy::LoadTime;
    use super::*;
    use crate::backend::{LoadId, Token};
    use crate::clock::Boot;
    use crate::coherence::core::{Slots, View};
    use crate::model::{Content, Lifetime, LineageId, Value};
    use crate::telemetry::Metrics;

    const CAPACITY: u64 = 100 * 1024;

    fn l1(policy: Policy) -> L1 {
        let metrics = Metrics::new(&["users".to_owned()], "0", "0").unwrap();
        L1::new(CAPACITY, policy, Clock::Boottime, metrics.namespace("users").l1.clone())
    }

    fn copy(seq: u64, born: Boot, fresh: Duration, bytes: usize) -> Arc<Copy> {
        let view = View::new(2);
        view.begin(LineageId::new("a"), 0);
        let value = Value { body: vec![0; bytes].into(), ..Value::default() };
        let lifetime = Lifetime { fresh, ..Lifetime::default() };
        Arc::new(Copy {
            entry: Arc::new(Entry::new(Content::Present(value), lifetime)),
            stamp: view.stamp(&Token { lineage: LineageId::new("a"), seq }),
            slots: Slots::of([]),
            names: Box::default(),
            load: LoadId("x".into()).into(),
            load_time: LoadTime::default(),
            born,
            dirty: false,
            unseen: None,
        })
    }

    fn minute_old(seq: u64, seconds: u64) -> Arc<Copy> {
        let born = Clock::Boottime.now() - Duration::from_mins(1) + Duration::from_secs(seconds);
        copy(seq, born, Duration::from_hours(1), 1024)
    }

    #[test]
    fn what_it_holds_is_bounded_in_bytes() {
        for policy in [Policy::TinyLfu, Policy::Lru] {
            let l1 = l1(policy);
            for n in 0..1000 {
                l1.put(format!("{n:04}").into(), minute_old(1, 0));
            }
            l1.tidy();
            let bytes = u64::try_from(l1.metrics.bytes.get()).unwrap();
            assert!(CAPACITY / 2 < bytes && bytes <= CAPACITY, "{policy:?}: {bytes} bytes");
            assert_eq!(
                l1.metrics.entries.get(),
                i64::try_from(bytes / u64::from(minute_old(1, 0).weight(3))).unwrap()
            );
        }
    }

    #[test]
    fn lru_keeps_the_latest_and_tiny_lfu_the_most_asked_for() {
        let fill = |l1: &L1| {
            for _ in 0..20 {
                for n in 0..40 {
                    let key = n.to_string();
                    if l1.get(&key).is_none() {
                        l1.put(key.into(), minute_old(1, 0));
                    }
                }
                l1.tidy();
            }
            for n in 1000..1200 {
                l1.put(n.to_string().into(), minute_old(1, 0));
            }
            l1.tidy();
            (0..40).filter(|n| l1.get(&n.to_string()).is_some()).count()
        };
        assert_eq!(fill(&l1(Policy::Lru)), 0);
        assert_eq!(fill(&l1(Policy::TinyLfu)), 40);
    }

    #[test]
    fn a_slow_load_does_not_replace_what_a_faster_one_brought() {
        let l1 = l1(Policy::Lru);
        let seq = |l1: &L1| l1.get("k").unwrap().stamp.unwrap().seq();
        l1.put("k".into(), minute_old(5, 10));
        l1.put("k".into(), minute_old(4, 9));
        assert_eq!(seq(&l1), 5, "older in both");
        l1.put("k".into(), minute_old(4, 11));
        assert_eq!(seq(&l1), 4, "its load began later: it is no older, whatever its token");
        l1.put("k".into(), minute_old(6, 0));
        assert_eq!(seq(&l1), 6);
    }

    #[test]
    fn what_is_of_no_more_use_is_gone() {
        let l1 = l1(Policy::Lru);
        l1.put(
            "k".into(),
            copy(1, Clock::Boottime.now() - Duration::from_mins(1), Duration::from_secs(59), 10),
        );
        assert!(l1.get("k").is_none());
    }
}
