//! The backend of a single process: for the demo, for an instance without Valkey, for tests with a paused clock.
//! Several instances in one process join one [`Store`].

mod arrivals;
mod connection;
mod expiring;
mod hot;
mod inbox;
mod leases;
mod locks;
mod queues;
mod shard;
mod store;
#[cfg(test)]
mod tests;
mod watermarks;

pub use inbox::Inbox;
pub use shard::{LEAP, Limits, ShardState};
pub use store::{Dump, Store};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::connection::Connection;
use super::{
    Along, Arrival, Backend, BackendError, Beat, Dead, EntryId, Fence, Fill, Filled, Found, Head, HotKey,
    InboxEntry, Leave, Line, LinkState, LoadId, LockAsk, LockToken, Locked, Logged, Look, Lookup, Member,
    Partition, Publication, Published, Settled, Settlement, Signal, Stored, Subscription, Survey, Take,
    Taken, Token, Waiting,
};
use crate::model::{Key, Namespace, Seq, Shard, ShardCount, Verdict};

/// One instance's handle of a store.
#[derive(Debug)]
pub struct Memory {
    store: Arc<Store>,
    connection: Connection,
    deaf: Arc<AtomicBool>,
}

impl Memory {
    /// Another instance of `store`, connected.
    pub fn join(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), connection: Connection::new(), deaf: Arc::default() }
    }

    /// For tests and simulation: cuts this instance off, or mends that. While it is cut every operation fails as
    /// [`BackendError::Unavailable`]; its subscriptions end at once, with whatever they had not yet handed out.
    pub fn cut(&self, cut: bool) {
        self.connection.cut(cut);
    }

    /// For tests and simulation: from here on this instance hears of no event and cannot read the log, or does again.
    /// Everything else is answered: it is connected and behind.
    pub fn deafen(&self, deaf: bool) {
        self.deaf.store(deaf, SeqCst);
    }

    fn step<T>(&self, shard: Shard, step: impl FnOnce(&mut ShardState, u64) -> T) -> Result<T, BackendError> {
        self.connection.alive()?;
        self.store.step(shard, step)
    }
}

#[async_trait]
impl Backend for Memory {
    fn shards(&self) -> ShardCount {
        self.store.count()
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.connection.link()
    }

    async fn keep_connected(&self, stop: CancellationToken) -> Result<(), BackendError> {
        let mut link = self.connection.link();
        let keep = async {
            loop {
                self.connection.make();
                if link.changed().await.is_err() {
                    return;
                }
            }
        };
        stop.run_until_cancelled(keep).await;
        Ok(())
    }

    fn distrust(&self, _shard: Shard, why: &str) {
        self.connection.down(why);
    }

    async fn peek(&self, entries: &[EntryId]) -> Result<Vec<Option<Stored>>, BackendError> {
        let peek = |entry| self.step(self.store.shard_of(entry), |state, now| state.peek(now, entry));
        entries.iter().map(peek).collect()
    }

    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError> {
        self.step(self.store.shard_of(&lookup.entry), |state, now| state.lookup(now, &lookup))
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError> {
        self.step(self.store.shard_of(&fill.entry), |state, now| state.fill(now, fill))
    }

    async fn lease(&self, entry: &EntryId) -> Result<Option<(LoadId, Duration)>, BackendError> {
        self.step(self.store.shard_of(entry), |state, now| state.lease_left(now, entry))
    }

    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError> {
        self.step(self.store.shard_of(entry), |state, now| state.release(now, entry, load))
    }

    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError> {
        let along = publication.along.iter().map(Along::entry);
        if let Some(stray) =
            publication.entries.iter().chain(along).find(|entry| self.store.shard_of(entry) != shard)
        {
            let EntryId { namespace, key, .. } = stray;
            return Err(BackendError::Refused(format!("{namespace}/{key} is not in shard {}", shard.0)));
        }
        self.step(shard, |state, now| state.publish(now, publication))?
    }

    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError> {
        self.step(shard, |state, now| state.beat(now, beat))
    }

    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError> {
        self.step(shard, |state, _| state.confirm(instance, cursor))
    }

    async fn head(&self, shard: Shard) -> Result<Token, BackendError> {
        self.step(shard, ShardState::head)
    }

    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError> {
        if self.deaf.load(SeqCst) {
            return Err(BackendError::TimedOut);
        }
        self.step(shard, |state, _| state.read_log(after, max))
    }

    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError> {
        self.step(shard, |state, _| state.members())
    }

    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError> {
        self.step(shard, |state, _| state.forget(instance, beats))
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError> {
        let alive = self.connection.alive()?;
        Ok(Box::new(Listener { alive, signals: self.store.signals(), deaf: Arc::clone(&self.deaf) }))
    }

    async fn admit(&self, arrival: Arrival<'_>) -> Result<Verdict, BackendError> {
        let shard = self.store.count().of(arrival.namespace, &arrival.caller.to_string());
        self.step(shard, |state, now| state.admit(now, arrival))
    }

    async fn lock(&self, ask: LockAsk<'_>) -> Result<Locked, BackendError> {
        self.step(self.store.shard_of_lock(ask.name), |state, now| state.lock(now, ask))?
    }

    async fn extend(
        &self,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Option<Fence>, BackendError> {
        self.step(self.store.shard_of_lock(name), |state, now| state.extend(now, name, token, ttl))
    }

    async fn unlock(&self, name: &Key, token: &LockToken) -> Result<bool, BackendError> {
        self.step(self.store.shard_of_lock(name), |state, now| state.unlock(now, name, token))
    }

    async fn keep_hot(&self, namespace: &Namespace, keys: &[HotKey]) -> Result<(), BackendError> {
        self.connection.alive()?;
        self.store.with_hot(|hot, now| hot.keep(now, namespace, keys));
        Ok(())
    }

    async fn hot(&self, namespace: &Namespace) -> Result<Vec<Key>, BackendError> {
        self.connection.alive()?;
        Ok(self.store.with_hot(|hot, now| hot.keys(now, namespace)))
    }

    async fn inbox(
        &self,
        _consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let alive = self.connection.alive()?;
        let first = async {
            loop {
                // Registered before the look, so that no arrival falls between the two.
                let mut arrived = std::pin::pin!(self.store.arrived.notified());
                arrived.as_mut().enable();
                let taken = self.store.with_inbox(|inbox, now| inbox.take(now, max));
                if !taken.is_empty() || max == 0 {
                    return taken;
                }
                arrived.await;
            }
        };
        tokio::select! {
            biased;
            () = alive.cancelled() => Err(BackendError::Unavailable("the connection ended".to_owned())),
            taken = tokio::time::timeout(wait, first) => Ok(taken.unwrap_or_default()),
        }
    }

    async fn inbox_adopt(
        &self,
        _consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        self.connection.alive()?;
        Ok(self.store.with_inbox(|inbox, now| inbox.adopt(now, max, idle)))
    }

    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError> {
        self.connection.alive()?;
        self.store.with_inbox(|inbox, _| inbox.done(ids));
        Ok(())
    }

    async fn take_writes(&self, shard: Shard, take: Take) -> Result<Taken, BackendError> {
        self.step(shard, |state, now| state.take_writes(now, &take))
    }

    async fn value_of_write(&self, shard: Shard, line: &Line) -> Result<Option<Bytes>, BackendError> {
        self.step(shard, |state, now| state.value_of_write(now, line))
    }

    async fn settle_writes(
        &self,
        shard: Shard,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Result<Vec<Settlement>, BackendError> {
        self.step(shard, |state, now| state.settle_writes(now, partition, settled))
    }

    async fn leave_writes(&self, shard: Shard, leave: Leave) -> Result<(), BackendError> {
        self.step(shard, |state, now| state.leave_writes(now, &leave))
    }

    async fn survey(&self, shard: Shard, look: Look) -> Result<Survey, BackendError> {
        self.step(shard, |state, now| state.survey(now, look))
    }

    async fn waiting_writes(
        &self,
        shard: Shard,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Waiting>, BackendError> {
        self.step(shard, |state, now| state.waiting_writes(now, partition, max))
    }

    async fn dead_writes(&self, shard: Shard, after: &str, max: usize) -> Result<Vec<Dead>, BackendError> {
        self.step(shard, |state, _| state.dead_writes(after, max))
    }

    async fn drop_dead(&self, shard: Shard, ids: &[String]) -> Result<u64, BackendError> {
        self.step(shard, |state, _| state.drop_dead(ids))
    }
}

struct Listener {
    alive: CancellationToken,
    signals: broadcast::Receiver<Arc<Signal>>,
    deaf: Arc<AtomicBool>,
}

#[async_trait]
impl Subscription for Listener {
    async fn next(&mut self) -> Option<Signal> {
        loop {
            let received = tokio::select! {
                biased;
                () = self.alive.cancelled() => return None,
                received = self.signals.recv() => received,
            };
            return match received {
                Ok(signal) if self.deaf.load(SeqCst) && matches!(*signal, Signal::Event { .. }) => continue,
                Ok(signal) => Some(Arc::unwrap_or_clone(signal)),
                Err(RecvError::Lagged(_)) => Some(Signal::Lost),
                Err(RecvError::Closed) => None,
            };
        }
    }
}
