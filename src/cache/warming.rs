//! Warming: keys that are brought into the tiers before anybody reads them, and the hottest keys that an instance leaves
//! to those after it.
//!
//! A key that is warmed goes the way of a read, and its copy is kept by the same rules. It is no request, though: nothing
//! is counted as one, and nothing of it makes the key hotter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Demand, GetError, Via};
use super::reader::{Read, Reader};
use super::space::Space;
use super::{BackendError, Cache};
use crate::backend::{HOT_KEYS_MAX, HotKey};
use crate::model::{Content, Key};
use crate::supervisor::Stage;

/// Keys of one list that are on their way at once.
const AT_ONCE: usize = 32;
/// Copies that are looked at before others have a turn.
const LOOKED_AT: usize = 4096;

/// Where a key that is warmed may be taken from. A namespace without an origin has L2 alone in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmFrom {
    /// L2, never the origin: what is in neither tier is passed over.
    L2,
    /// L2, or the origin under a lease, as for a reader.
    Origin,
}

/// What became of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warm {
    /// A copy was in L1 or L2.
    Cached,
    /// The origin brought it, and it is kept.
    Loaded,
    /// The origin brought it, and it may not or cannot be kept.
    NotKept,
    /// There is no value, or none in L2 where nothing else is asked.
    Absent,
    /// The origin, or what is before it, gave no answer; or it was not asked, for the instance is cut off from the log and
    /// could keep nothing.
    Failed,
}

/// What became of a list of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Warmed {
    /// All of them: the sum of those below.
    pub keys: usize,
    /// See [`Warm::Cached`].
    pub cached: usize,
    /// See [`Warm::Loaded`].
    pub loaded: usize,
    /// See [`Warm::NotKept`].
    pub not_kept: usize,
    /// See [`Warm::Absent`].
    pub absent: usize,
    /// See [`Warm::Failed`].
    pub failed: usize,
    /// Nothing was known of them when the time was over.
    pub left: usize,
}

impl Warmed {
    /// So many keys of which nothing is known yet.
    pub fn of(keys: usize) -> Self {
        Self { keys, left: keys, ..Self::default() }
    }

    /// Counts one of those that are left.
    pub fn add(&mut self, warm: Warm) {
        let count = match warm {
            Warm::Cached => &mut self.cached,
            Warm::Loaded => &mut self.loaded,
            Warm::NotKept => &mut self.not_kept,
            Warm::Absent => &mut self.absent,
            Warm::Failed => &mut self.failed,
        };
        *count += 1;
        self.left = self.left.saturating_sub(1);
    }
}

impl Cache {
    /// Warms one key.
    pub async fn warm_key(&self, namespace: &str, key: &Key, from: WarmFrom) -> Warm {
        match self.reader.spaces.get(namespace) {
            Some(space) => self.reader.warm(space, key, from).await,
            None => Warm::Failed,
        }
    }

    /// Warms many, side by side, until `until` or until the instance stops. Loads that are under way then go on for
    /// whoever has joined them.
    pub async fn warm(&self, namespace: &str, keys: Vec<Key>, from: WarmFrom, until: Instant) -> Warmed {
        let mut warmed = Warmed::of(keys.len());
        let stopping = self.reader.supervisor.stopping(Stage::Door);
        let warms = stream::iter(keys).map(|key| async move { self.warm_key(namespace, &key, from).await });
        let mut warms = warms.buffer_unordered(AT_ONCE);
        let all = async {
            while let Some(warm) = warms.next().await {
                warmed.add(warm);
            }
        };
        // What had no end by then is counted as left.
        let _in_time = stopping.run_until_cancelled(timeout_at(until, all)).await;
        warmed
    }

    /// Every namespace with a tier to warm.
    pub fn warmable(&self) -> Vec<String> {
        let spaces = self.reader.spaces.values().filter(|space| 0 < space.settings.l1_capacity);
        spaces.map(|space| space.name().to_string()).collect()
    }

    /// Keeps the hottest keys of a namespace's L1 for the instances to come; says how many.
    pub async fn keep_hot(&self, namespace: &str) -> Result<usize, BackendError> {
        let Some(space) = self.reader.spaces.get(namespace) else { return Ok(0) };
        let keys = hottest(space).await;
        if !keys.is_empty() {
            self.reader.backend.keep_hot(space.name(), &keys).await?;
        }
        Ok(keys.len())
    }

    /// The keys that instances before have kept as the hottest of a namespace, hottest first.
    pub async fn hot(&self, namespace: &str) -> Result<Vec<Key>, BackendError> {
        match self.reader.spaces.get(namespace) {
            Some(space) => self.reader.backend.hot(space.name()).await,
            None => Ok(Vec::new()),
        }
    }
}

impl Reader {
    async fn warm(self: &Arc<Self>, space: &Arc<Space>, key: &Key, from: WarmFrom) -> Warm {
        let only_if_cached = from == WarmFrom::L2 || space.settings.origin.is_none();
        let demand = Demand { only_if_cached, ..Demand::default() };
        let shard = self.coherence.shard_of(space.name(), key);
        if !self.coherence.leased(shard, space.settings.max_staleness) {
            return Warm::Failed;
        }
        let read = Read { space, key, demand: &demand, shard, arrived: self.now() };
        match self.answer(&read).await {
            Ok(Answer { entry, .. }) if entry.content == Content::Absent => Warm::Absent,
            Ok(Answer { via: Via::L1 | Via::L2 | Via::Stale | Via::PendingWrite, .. }) => Warm::Cached,
            Ok(Answer { via: Via::Origin { stored: true } | Via::Collapsed, .. }) => Warm::Loaded,
            // L2 refused it: an event came meanwhile. Here it may be kept all the same, and is judged by its token.
            Ok(Answer { via: Via::Origin { stored: false }, .. }) if space.l1.get(key).is_some() => {
                Warm::Loaded
            }
            Ok(Answer { via: Via::Origin { .. } | Via::TooLarge | Via::Bypass, .. }) => Warm::NotKept,
            Err(GetError::Missing { .. } | GetError::NotCached) => Warm::Absent,
            Err(GetError::Origin(_) | GetError::Unavailable(_)) => Warm::Failed,
        }
    }
}

/// The keys of L1 that were read most, hottest first. Where nothing is read much, those that were read before are among
/// them, in no order: they are still worth more than nothing.
async fn hottest(space: &Space) -> Vec<HotKey> {
    let mut hottest = BinaryHeap::new();
    for (number, key) in space.l1.keys().enumerate() {
        let heat = space.heat.of(&key);
        let coldest = || hottest.peek().map_or(0, |Reverse((coldest, _))| *coldest);
        if hottest.len() < HOT_KEYS_MAX || coldest() < heat {
            hottest.push(Reverse((heat, key)));
            if HOT_KEYS_MAX < hottest.len() {
                hottest.pop();
            }
        }
        // It may be millions: whoever waits for this with a deadline is to see it pass.
        if number % LOOKED_AT == LOOKED_AT - 1 {
            tokio::task::yield_now().await;
        }
    }
    let keys = hottest.into_sorted_vec().into_iter();
    keys.filter_map(|Reverse((heat, key))| Some(HotKey { heat, key: Key::new(&key).ok()? })).collect()
}
