//! Warming: what an instance brings into its tiers before it reports ready, and what it leaves to those after it.
//!
//! First the hottest keys that instances before have left, from L2 alone; then the keys of the configuration, as for
//! readers. All of it takes a bounded time, whatever an origin does: then the instance is ready with what it has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tracing::{info, warn};

use super::StartError;
use crate::cache::{BackendError, Cache, WarmFrom, Warmed};
use crate::config::Config;
use crate::model::Key;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::{Readiness, Reason};

/// For all of it.
const WARM_MAX: Duration = Duration::from_secs(30);
/// Of that for the keys that instances before have left.
const HOT_MAX: Duration = Duration::from_secs(10);
/// So many of those are asked of L2 side by side...
const BATCH: usize = 40;
/// ...so often: 2,000 a second, which Valkey hardly notices.
const BATCH_EVERY: Duration = Duration::from_millis(20);
/// For leaving keys to the instances to come.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// What is warmed when an instance starts.
#[derive(Clone)]
pub(super) struct Warming {
    readiness: Readiness,
    supervisor: Supervisor,
    cache: Arc<Cache>,
    /// `warm.keys` and `warm.keys_file`, by namespace.
    lists: Arc<BTreeMap<String, Vec<Key>>>,
    begun: Arc<AtomicBool>,
}

/// Released however the work ends: with a panic, too.
struct Latch(Readiness);

impl Drop for Latch {
    fn drop(&mut self) {
        self.0.release(Reason::Warming);
    }
}

impl Warming {
    /// Reads the lists; nothing is warmed before [`Self::begin`].
    pub(super) fn new(
        config: &Config,
        readiness: &Readiness,
        supervisor: &Supervisor,
        cache: &Arc<Cache>,
    ) -> Result<Self, StartError> {
        let list = |(name, namespace): (&String, &crate::config::Namespace)| {
            let refused = |source| StartError::Warm { namespace: name.clone(), source };
            Ok((name.clone(), namespace.warm.all().map_err(refused)?))
        };
        Ok(Self {
            readiness: readiness.clone(),
            supervisor: supervisor.clone(),
            cache: Arc::clone(cache),
            lists: Arc::new(config.namespaces.iter().map(list).collect::<Result<_, StartError>>()?),
            begun: Arc::default(),
        })
    }

    /// Begins, the first time it is called. From now on the instance is not ready until this has ended.
    pub(super) fn begin(&self) {
        if self.begun.swap(true, SeqCst) {
            return;
        }
        self.readiness.hold(Reason::Warming);
        let latch = Latch(self.readiness.clone());
        let (cache, lists) = (Arc::clone(&self.cache), Arc::clone(&self.lists));
        let stopping = self.supervisor.stopping(Stage::Door);
        let warm = async move {
            let _latch = latch;
            let begun = Instant::now();
            let all = async {
                hot(&cache, begun + HOT_MAX).await;
                listed(&cache, &lists, begun + WARM_MAX).await;
            };
            let _stopped = stopping.run_until_cancelled(all).await;
        };
        drop(self.supervisor.spawn(Stage::Load, "app.warming", warm));
    }
}

/// Leaves the hottest keys of each namespace to the instances to come. A backend that does not answer holds nothing up
/// for long.
pub(super) async fn leave(cache: &Cache) {
    let names = cache.warmable();
    if timeout(LEAVE_MAX, join_all(names.iter().map(|namespace| leave_of(cache, namespace)))).await.is_err() {
        warn!("not all of the hottest keys were kept in time");
    }
}

async fn leave_of(cache: &Cache, namespace: &str) {
    match cache.keep_hot(namespace).await {
        Ok(0) => {}
        Ok(keys) => info!(namespace, keys, "the hottest keys were kept for the instances to come"),
        Err(error) => warn!(namespace, error = %error, "the hottest keys were not kept"),
    }
}

/// Fills L1 with the keys that instances before have left, as far as they are in L2: the hottest of every namespace
/// first, then the next.
async fn hot(cache: &Cache, until: Instant) {
    let names = cache.warmable();
    let asked = join_all(names.iter().map(|namespace| cache.hot(namespace)));
    let found = timeout_at(until, asked).await;
    let found = found.unwrap_or_else(|_elapsed| names.iter().map(|_| Err(BackendError::TimedOut)).collect());
    let mut warmed = vec![Warmed::default(); names.len()];
    let mut order = Vec::new();
    for (of, found) in found.into_iter().enumerate() {
        match found {
            Ok(keys) => {
                warmed[of] = Warmed::of(keys.len());
                order.extend(keys.into_iter().enumerate().map(|(rank, key)| (rank, of, key)));
            }
            Err(error) => warn!(
                namespace = names[of],
                error = %error,
                "the hottest keys of the instances before are not known"
            ),
        }
    }
    order.sort_unstable();
    let fill = async {
        let mut ticks = interval(BATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for batch in order.chunks(BATCH) {
            ticks.tick().await;
            let fills = batch.iter().map(|(_, of, key)| cache.warm_key(&names[*of], key, WarmFrom::L2));
            for ((_, of, _), warm) in batch.iter().zip(join_all(fills).await) {
                warmed[*of].add(warm);
            }
        }
    };
    // What had no end by then is counted as left.
    let _in_time = timeout_at(until, fill).await;
    for (namespace, warmed) in names.iter().zip(&warmed) {
        tell(namespace, warmed, "the hottest keys of the instances before were taken from L2");
    }
}

/// Loads the keys of the configuration. A namespace whose origin hangs does not keep the others from theirs.
async fn listed(cache: &Cache, lists: &BTreeMap<String, Vec<Key>>, until: Instant) {
    let warm = |(namespace, keys): (&String, &Vec<Key>)| {
        let (namespace, keys) = (namespace.clone(), keys.clone());
        async move {
            let warmed = cache.warm(&namespace, keys, WarmFrom::Origin, until).await;
            tell(&namespace, &warmed, "the keys of `warm` were loaded");
        }
    };
    let warms: Vec<_> = lists.iter().map(warm).collect();
    join_all(warms).await;
}

fn tell(namespace: &str, warmed: &Warmed, what: &str) {
    let Warmed { keys, cached, loaded, not_kept, absent, failed, left } = *warmed;
    if 0 < left {
        warn!(
            namespace,
            keys, cached, loaded, not_kept, absent, failed, left, "{what}, not all of them in time"
        );
    } else if 0 < keys {
        info!(namespace, keys, cached, loaded, not_kept, absent, failed, "{what}");
    }
}
