//! A backend behind a breaker: one that does not answer is not asked again and again, each time at the cost of a time-out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Arrival, Backend, BackendError, Beat, Dead, EntryId, Fence, Fill, Filled, Found, Head, HotKey,
    InboxEntry, Judged, Leave, Line, LinkState, LoadId, LockAsk, LockToken, Locked, Logged, Look, Lookup,
    Member, Partition, Publication, Published, Settled, Settlement, Stored, Subscription, Survey, Take,
    Taken, Testimony, Token, Waiting,
};
use crate::guard::{Breaker, Phase};
use crate::model::{Key, Namespace, Seq, Shard, ShardCount, Verdict};

/// Wraps a backend.
///
/// Connecting is not asked of the breaker, it has pauses of its own: every new connection has been through a handshake
/// with the server, which is as good as a call that succeeded, and closes it. Nor are heartbeats.
pub struct Guarded {
    inner: Arc<dyn Backend>,
    breaker: Arc<Breaker>,
    replicated: bool,
    link: watch::Receiver<LinkState>,
    /// The newest generation of connections that is known to have failed, or that has closed the breaker.
    spent: AtomicU64,
    /// Whether there has been a connection.
    connected: AtomicBool,
}

impl Guarded {
    /// `inner`, behind `breaker`; `replicated`: its publishes wait for replicas.
    pub fn new(inner: Arc<dyn Backend>, breaker: Arc<Breaker>, replicated: bool) -> Self {
        Self {
            link: inner.link(),
            inner,
            breaker,
            replicated,
            spent: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        }
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        self.call_that_may_wait(false, work).await
    }

    /// One that `waits`, for replicas, says nothing of the server when its time is up.
    async fn call_that_may_wait<T>(
        &self,
        waits: bool,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let generation = self.look();
        let pass = self.breaker.enter()?;
        let result = work.await;
        if waits && matches!(result, Err(BackendError::TimedOut)) {
            return result;
        }
        // Nor does what is asked before the first connection: it costs nothing, and a start is no failure.
        if !self.connected.load(Ordering::Relaxed) {
            return result;
        }
        // One server of several says nothing of the others, and how long it is asked its connections decide.
        if !self.inner.stands_as_one() && generation != 0 {
            return result;
        }
        // A refusal is an answer.
        let failed = matches!(result, Err(BackendError::TimedOut | BackendError::Unavailable(_)));
        if failed {
            self.spent.fetch_max(generation, Ordering::Relaxed);
        }
        pass.tell(!failed);
        result
    }

    /// What waits for something for long, or lives for long: it tries nothing for others, and says nothing.
    async fn wait<T>(&self, work: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        self.look();
        match self.breaker.phase() {
            Phase::Closed => work.await,
            Phase::HalfOpen | Phase::Open => Err(self.breaker.refuses().map_or_else(
                || BackendError::Unavailable("another call tries it first".to_owned()),
                BackendError::LeftAlone,
            )),
        }
    }

    /// The generation of connections in use, 0 if there is none. A new one closes the breaker.
    fn look(&self) -> u64 {
        let LinkState::Up { generation, .. } = &*self.link.borrow() else { return 0 };
        self.connected.store(true, Ordering::Relaxed);
        if self.spent.load(Ordering::Relaxed) < *generation
            && self.breaker.phase() != Phase::Closed
            && self.spent.fetch_max(*generation, Ordering::Relaxed) < *generation
        {
            self.breaker.close();
        }
        *generation
    }
}

#[async_trait]
impl Backend for Guarded {
    fn shards(&self) -> ShardCount {
        self.inner.shards()
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.inner.link()
    }

    async fn keep_connected(&self, stop: CancellationToken) -> Result<(), BackendError> {
        self.inner.keep_connected(stop).await
    }

    fn stands_as_one(&self) -> bool {
        self.inner.stands_as_one()
    }

    fn distrust(&self, shard: Shard, why: &str) {
        self.inner.distrust(shard, why);
    }

    async fn peek(&self, entries: &[EntryId]) -> Result<Vec<Option<Stored>>, BackendError> {
        self.call(self.inner.peek(entries)).await
    }

    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError> {
        self.call(self.inner.lookup(lookup)).await
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError> {
        self.call(self.inner.fill(fill)).await
    }

    async fn lease(&self, entry: &EntryId) -> Result<Option<(LoadId, Duration)>, BackendError> {
        self.call(self.inner.lease(entry)).await
    }

    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError> {
        self.call(self.inner.release(entry, load)).await
    }

    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError> {
        self.call_that_may_wait(self.replicated, self.inner.publish(shard, publication)).await
    }

    async fn testify(&self, shard: Shard, testimony: Testimony) -> Result<Judged, BackendError> {
        self.call(self.inner.testify(shard, testimony)).await
    }

    /// Never left out: heartbeats come one after the other and have pauses of their own, and one that is answered closes
    /// the breaker. Without them an instance would stay cut off for as long as the breaker is open.
    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError> {
        if self.breaker.phase() == Phase::Closed {
            return self.call(self.inner.beat(shard, beat)).await;
        }
        let head = self.inner.beat(shard, beat).await?;
        self.breaker.close();
        Ok(head)
    }

    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError> {
        self.call(self.inner.confirm(shard, instance, cursor)).await
    }

    async fn head(&self, shard: Shard) -> Result<Token, BackendError> {
        self.call(self.inner.head(shard)).await
    }

    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError> {
        self.call(self.inner.read_log(shard, after, max)).await
    }

    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError> {
        self.call(self.inner.members(shard)).await
    }

    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError> {
        self.call(self.inner.forget(shard, instance, beats)).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError> {
        self.wait(self.inner.subscribe()).await
    }

    async fn admit(&self, arrival: Arrival<'_>) -> Result<Verdict, BackendError> {
        self.call(self.inner.admit(arrival)).await
    }

    async fn lock(&self, ask: LockAsk<'_>) -> Result<Locked, BackendError> {
        self.call(self.inner.lock(ask)).await
    }

    async fn extend(
        &self,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Option<Fence>, BackendError> {
        self.call(self.inner.extend(name, token, ttl)).await
    }

    async fn unlock(&self, name: &Key, token: &LockToken) -> Result<bool, BackendError> {
        self.call(self.inner.unlock(name, token)).await
    }

    async fn keep_hot(&self, namespace: &Namespace, keys: &[HotKey]) -> Result<(), BackendError> {
        self.call(self.inner.keep_hot(namespace, keys)).await
    }

    async fn hot(&self, namespace: &Namespace) -> Result<Vec<Key>, BackendError> {
        self.call(self.inner.hot(namespace)).await
    }

    async fn inbox(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        self.wait(self.inner.inbox(consumer, max, wait)).await
    }

    async fn inbox_adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        self.wait(self.inner.inbox_adopt(consumer, max, idle)).await
    }

    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError> {
        self.call(self.inner.inbox_done(ids)).await
    }

    async fn take_writes(&self, shard: Shard, take: Take) -> Result<Taken, BackendError> {
        self.call(self.inner.take_writes(shard, take)).await
    }

    async fn value_of_write(&self, shard: Shard, line: &Line) -> Result<Option<Bytes>, BackendError> {
        self.call(self.inner.value_of_write(shard, line)).await
    }

    async fn settle_writes(
        &self,
        shard: Shard,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Result<Vec<Settlement>, BackendError> {
        self.call(self.inner.settle_writes(shard, partition, settled)).await
    }

    async fn leave_writes(&self, shard: Shard, leave: Leave) -> Result<(), BackendError> {
        self.call(self.inner.leave_writes(shard, leave)).await
    }

    async fn survey(&self, shard: Shard, look: Look) -> Result<Survey, BackendError> {
        self.call(self.inner.survey(shard, look)).await
    }

    async fn waiting_writes(
        &self,
        shard: Shard,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Waiting>, BackendError> {
        self.call(self.inner.waiting_writes(shard, partition, max)).await
    }

    async fn dead_writes(&self, shard: Shard, after: &str, max: usize) -> Result<Vec<Dead>, BackendError> {
        self.call(self.inner.dead_writes(shard, after, max)).await
    }

    async fn drop_dead(&self, shard: Shard, ids: &[String]) -> Result<u64, BackendError> {
        self.call(self.inner.drop_dead(shard, ids)).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::backend::memory::{Limits, Memory, Store};
    use crate::clock::Clock;
    use crate::guard::BreakerSettings;

    const SHARD: Shard = Shard(0);
    const OPEN_FOR: Duration = Duration::from_secs(5);

    fn guarded() -> (Arc<Memory>, Guarded) {
        let store = Store::new(ShardCount::ONE, Limits::default(), Clock::tokio(), 1);
        let memory = Arc::new(Memory::join(&store));
        let settings = BreakerSettings {
            target: "backend".to_owned(),
            failures: 3,
            open_for: OPEN_FOR,
            probe_max: Duration::from_secs(1),
        };
        let inner: Arc<dyn Backend> = Arc::clone(&memory) as Arc<dyn Backend>;
        (memory, Guarded::new(inner, Arc::new(Breaker::new(settings)), true))
    }

    /// A deaf one lets every read of the log run into its time-out, over a connection that lives.
    async fn fail(guarded: &Guarded, times: usize) {
        for _ in 0..times {
            assert!(matches!(guarded.read_log(SHARD, 0, 1).await, Err(BackendError::TimedOut)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_outs_over_a_connection_that_lives_open_it_and_one_call_closes_it() {
        let (memory, guarded) = guarded();
        memory.deafen(true);
        for _ in 0..5 {
            fail(&guarded, 2).await;
            assert!(guarded.head(SHARD).await.is_ok());
        }
        fail(&guarded, 3).await;
        for _ in 0..2 {
            let refused = guarded.head(SHARD).await;
            assert!(matches!(refused, Err(BackendError::LeftAlone(it)) if it.retry_after == OPEN_FOR));
            assert!(matches!(guarded.subscribe().await, Err(BackendError::LeftAlone(_))));
            advance(OPEN_FOR).await;
            // What lives long tries nothing.
            assert!(matches!(guarded.subscribe().await, Err(BackendError::Unavailable(_))));
            fail(&guarded, 1).await;
        }
        advance(OPEN_FOR).await;
        assert!(guarded.head(SHARD).await.is_ok());
        assert!(guarded.subscribe().await.is_ok());
        fail(&guarded, 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_replicas_in_vain_says_nothing() {
        let (memory, guarded) = guarded();
        memory.deafen(true);
        for waits in [true, false] {
            for _ in 0..3 {
                let read = guarded.inner.read_log(SHARD, 0, 1);
                let result = guarded.call_that_may_wait(waits, read).await;
                assert!(matches!(result, Err(BackendError::TimedOut)));
            }
            assert_eq!(guarded.breaker.phase() == Phase::Closed, waits);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_sent_all_the_same_and_closes_it() {
        let (memory, guarded) = guarded();
        let beat = || {
            let max_staleness = Duration::from_secs(2);
            let member = Member { instance: "i".to_owned(), cursor: 0, max_staleness, beats: 1 };
            guarded.beat(SHARD, Beat { member, known: 0 })
        };
        assert!(beat().await.is_ok());
        memory.deafen(true);
        fail(&guarded, 3).await;
        assert!(matches!(guarded.head(SHARD).await, Err(BackendError::LeftAlone(_))));
        assert!(beat().await.is_ok());
        assert!(guarded.head(SHARD).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_closes_it_and_no_older_one_does() {
        let (memory, guarded) = guarded();
        assert!(guarded.head(SHARD).await.is_ok(), "before the first connection nothing counts");
        memory.cut(true);
        for _ in 0..3 {
            assert!(matches!(guarded.head(SHARD).await, Err(BackendError::Unavailable(_))));
        }
        assert!(matches!(guarded.head(SHARD).await, Err(BackendError::LeftAlone(_))));
        memory.cut(false);
        assert!(guarded.head(SHARD).await.is_ok());
        // The same one, which has failed since, proves nothing.
        memory.deafen(true);
        fail(&guarded, 3).await;
        assert!(matches!(guarded.head(SHARD).await, Err(BackendError::LeftAlone(_))));
    }
}
