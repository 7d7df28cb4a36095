//! What the instances of one process share: the shards, the inbox, the time, and who listens.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, broadcast};

use super::hot::Hot;
use super::inbox::Inbox;
use super::shard::{Limits, ShardState};
use crate::backend::{BackendError, EntryId, Signal};
use crate::clock::{Boot, Clock};
use crate::model::{Key, Shard, ShardCount};
use crate::mutants;

/// Signals a subscriber may lag behind before it hears [`Signal::Lost`].
pub(super) const SIGNALS_MAX: usize = 65_536;

/// What a store held at a moment.
#[derive(Clone, Debug)]
pub struct Dump {
    shards: Vec<ShardState>,
    inbox: Inbox,
    hot: Hot,
}

/// The shared part. It lives as long as anybody holds it and is lost with the process.
#[derive(Debug)]
pub struct Store {
    count: ShardCount,
    shards: Vec<Mutex<ShardState>>,
    inbox: Mutex<Inbox>,
    hot: Mutex<Hot>,
    /// An inbox entry came.
    pub(super) arrived: Notify,
    signals: broadcast::Sender<Arc<Signal>>,
    clock: Clock,
    started: Boot,
    epoch_ms: u64,
}

impl Store {
    /// An empty store whose time is now `epoch_ms`, in milliseconds since 1970, and goes on with `clock`.
    pub fn new(shards: ShardCount, limits: Limits, clock: Clock, epoch_ms: u64) -> Arc<Self> {
        let share = limits.entry_bytes_max / usize::from(shards.get());
        let limits = Limits { entry_bytes_max: share, ..limits };
        let states = shards.all().map(|shard| Mutex::new(ShardState::new(shard, limits, rand::random())));
        Arc::new(Self {
            count: shards,
            shards: states.collect(),
            inbox: Mutex::default(),
            hot: Mutex::default(),
            arrived: Notify::new(),
            signals: broadcast::channel(SIGNALS_MAX).0,
            started: clock.now(),
            clock,
            epoch_ms,
        })
    }

    /// For tests and simulation: loses everything, like FLUSHALL. Nobody is told.
    pub fn flush_all(&self) {
        for state in &self.shards {
            state.lock().unwrap_or_else(PoisonError::into_inner).flush();
        }
        self.with_inbox(|inbox, _| *inbox = Inbox::default());
        self.with_hot(|hot, _| *hot = Hot::default());
    }

    /// For tests and simulation: ends the lineage of every shard, as a fail-over does.
    pub fn end_lineages(&self) {
        for state in &self.shards {
            state.lock().unwrap_or_else(PoisonError::into_inner).end_lineage();
        }
    }

    /// For tests and simulation: loses the events in the log, like XTRIM, and nothing else.
    pub fn trim(&self) {
        for state in &self.shards {
            state.lock().unwrap_or_else(PoisonError::into_inner).trim_log(0);
        }
    }

    /// For tests and simulation: what a dump of the server would hold now.
    pub fn dump(&self) -> Dump {
        let shard = |state: &Mutex<ShardState>| state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Dump {
            shards: self.shards.iter().map(shard).collect(),
            inbox: self.with_inbox(|inbox, _| inbox.clone()),
            hot: self.with_hot(|hot, _| hot.clone()),
        }
    }

    /// For tests and simulation: comes back with what a dump of this store held, as another server. So no lineage goes
    /// on, as its identity shows.
    pub fn restore(&self, dump: &Dump) {
        for (state, dumped) in self.shards.iter().zip(&dump.shards) {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.restore(dumped);
            if !mutants::NO_IDENTITY {
                state.end_lineage();
            }
        }
        self.with_inbox(|inbox, _| inbox.clone_from(&dump.inbox));
        self.with_hot(|hot, _| hot.clone_from(&dump.hot));
    }

    /// Appends to the inbox stream, as other systems do, and says under which id.
    pub fn inbox_add(&self, fields: Vec<(Bytes, Bytes)>) -> Result<String, BackendError> {
        let id = self.with_inbox(|inbox, now| inbox.add(now, fields));
        self.arrived.notify_waiters();
        id.ok_or_else(|| BackendError::Refused("the inbox is full".to_owned()))
    }

    /// Publishes on the inbox channel, as other systems do, and says how many hear it.
    pub fn inbox_publish(&self, message: Bytes) -> usize {
        self.signals.send(Arc::new(Signal::Inbox(message))).unwrap_or(0)
    }

    pub(super) fn count(&self) -> ShardCount {
        self.count
    }

    pub(super) fn shard_of(&self, entry: &EntryId) -> Shard {
        self.count.of(&entry.namespace, &entry.key)
    }

    pub(super) fn shard_of_lock(&self, name: &Key) -> Shard {
        self.count.of_lock(name)
    }

    pub(super) fn signals(&self) -> broadcast::Receiver<Arc<Signal>> {
        self.signals.subscribe()
    }

    /// One step. What it announces is sent before another step begins, so that signals keep the order of the log.
    pub(super) fn step<T>(
        &self,
        shard: Shard,
        step: impl FnOnce(&mut ShardState, u64) -> T,
    ) -> Result<T, BackendError> {
        let state = self.shards.get(usize::from(shard.0)).ok_or_else(|| {
            BackendError::Refused(format!("there is no shard {} of {}", shard.0, self.count.get()))
        })?;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = step(&mut state, self.now_ms());
        for signal in state.announcements() {
            // It fails only where nobody listens.
            self.signals.send(Arc::new(signal)).ok();
        }
        Ok(result)
    }

    pub(super) fn with_inbox<T>(&self, step: impl FnOnce(&mut Inbox, u64) -> T) -> T {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        step(&mut inbox, self.now_ms())
    }

    pub(super) fn with_hot<T>(&self, step: impl FnOnce(&mut Hot, u64) -> T) -> T {
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        step(&mut hot, self.now_ms())
    }

    fn now_ms(&self) -> u64 {
        let passed = self.clock.now().since(self.started).as_millis();
        self.epoch_ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
