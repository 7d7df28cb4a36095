//! A backend with every operation timed and its failures counted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Arrival, Backend, BackendError, Beat, Dead, EntryId, Fence, Fill, Filled, Found, Head, HotKey,
    InboxEntry, Judged, Leave, Line, LinkState, LoadId, LockAsk, LockToken, Locked, Logged, Look, Lookup,
    Member, Partition, Publication, Published, Settled, Settlement, Stored, Subscription, Survey, Take,
    Taken, Testimony, Token, Waiting,
};
use crate::model::{Key, Namespace, Seq, Shard, ShardCount, Verdict};
use crate::telemetry::BackendMetrics;
use crate::telemetry::labels::BackendOp;

/// Wraps a backend.
pub struct Measured {
    inner: Arc<dyn Backend>,
    metrics: Arc<BackendMetrics>,
}

impl Measured {
    /// `inner`, measured.
    pub fn new(inner: Arc<dyn Backend>, metrics: Arc<BackendMetrics>) -> Self {
        Self { inner, metrics }
    }

    async fn timed<T>(
        &self,
        op: BackendOp,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let began = Instant::now();
        let result = work.await;
        self.metrics.duration.of(op).observe(began.elapsed().as_secs_f64());
        if result.is_err() {
            self.metrics.errors.of(op).inc();
        }
        result
    }
}

#[async_trait]
impl Backend for Measured {
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
        self.timed(BackendOp::Peek, self.inner.peek(entries)).await
    }

    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError> {
        self.timed(BackendOp::Lookup, self.inner.lookup(lookup)).await
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError> {
        self.timed(BackendOp::Fill, self.inner.fill(fill)).await
    }

    async fn lease(&self, entry: &EntryId) -> Result<Option<(LoadId, Duration)>, BackendError> {
        self.timed(BackendOp::Peek, self.inner.lease(entry)).await
    }

    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError> {
        self.timed(BackendOp::Release, self.inner.release(entry, load)).await
    }

    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError> {
        self.timed(BackendOp::Publish, self.inner.publish(shard, publication)).await
    }

    async fn testify(&self, shard: Shard, testimony: Testimony) -> Result<Judged, BackendError> {
        self.timed(BackendOp::Beat, self.inner.testify(shard, testimony)).await
    }

    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError> {
        self.timed(BackendOp::Beat, self.inner.beat(shard, beat)).await
    }

    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError> {
        self.timed(BackendOp::Confirm, self.inner.confirm(shard, instance, cursor)).await
    }

    async fn head(&self, shard: Shard) -> Result<Token, BackendError> {
        self.timed(BackendOp::Head, self.inner.head(shard)).await
    }

    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError> {
        self.timed(BackendOp::ReadLog, self.inner.read_log(shard, after, max)).await
    }

    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError> {
        self.timed(BackendOp::Members, self.inner.members(shard)).await
    }

    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError> {
        self.timed(BackendOp::Forget, self.inner.forget(shard, instance, beats)).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError> {
        self.timed(BackendOp::Subscribe, self.inner.subscribe()).await
    }

    async fn admit(&self, arrival: Arrival<'_>) -> Result<Verdict, BackendError> {
        self.timed(BackendOp::Admit, self.inner.admit(arrival)).await
    }

    async fn lock(&self, ask: LockAsk<'_>) -> Result<Locked, BackendError> {
        self.timed(BackendOp::Lock, self.inner.lock(ask)).await
    }

    async fn extend(
        &self,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Option<Fence>, BackendError> {
        self.timed(BackendOp::Extend, self.inner.extend(name, token, ttl)).await
    }

    async fn unlock(&self, name: &Key, token: &LockToken) -> Result<bool, BackendError> {
        self.timed(BackendOp::Unlock, self.inner.unlock(name, token)).await
    }

    async fn keep_hot(&self, namespace: &Namespace, keys: &[HotKey]) -> Result<(), BackendError> {
        self.timed(BackendOp::Hot, self.inner.keep_hot(namespace, keys)).await
    }

    async fn hot(&self, namespace: &Namespace) -> Result<Vec<Key>, BackendError> {
        self.timed(BackendOp::Hot, self.inner.hot(namespace)).await
    }

    // Waiting for an entry is not an operation that takes long.
    async fn inbox(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let taken = self.inner.inbox(consumer, max, wait).await;
        if taken.is_err() {
            self.metrics.errors.of(BackendOp::Inbox).inc();
        }
        taken
    }

    async fn inbox_adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        self.timed(BackendOp::Inbox, self.inner.inbox_adopt(consumer, max, idle)).await
    }

    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError> {
        self.timed(BackendOp::Inbox, self.inner.inbox_done(ids)).await
    }

    async fn take_writes(&self, shard: Shard, take: Take) -> Result<Taken, BackendError> {
        self.timed(BackendOp::TakeWrites, self.inner.take_writes(shard, take)).await
    }

    async fn value_of_write(&self, shard: Shard, line: &Line) -> Result<Option<Bytes>, BackendError> {
        self.timed(BackendOp::TakeWrites, self.inner.value_of_write(shard, line)).await
    }

    async fn settle_writes(
        &self,
        shard: Shard,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Result<Vec<Settlement>, BackendError> {
        self.timed(BackendOp::SettleWrites, self.inner.settle_writes(shard, partition, settled)).await
    }

    async fn leave_writes(&self, shard: Shard, leave: Leave) -> Result<(), BackendError> {
        self.timed(BackendOp::Release, self.inner.leave_writes(shard, leave)).await
    }

    async fn survey(&self, shard: Shard, look: Look) -> Result<Survey, BackendError> {
        self.timed(BackendOp::Backlog, self.inner.survey(shard, look)).await
    }

    async fn waiting_writes(
        &self,
        shard: Shard,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Waiting>, BackendError> {
        self.timed(BackendOp::Backlog, self.inner.waiting_writes(shard, partition, max)).await
    }

    async fn dead_writes(&self, shard: Shard, after: &str, max: usize) -> Result<Vec<Dead>, BackendError> {
        self.timed(BackendOp::Backlog, self.inner.dead_writes(shard, after, max)).await
    }

    async fn drop_dead(&self, shard: Shard, ids: &[String]) -> Result<u64, BackendError> {
        self.timed(BackendOp::SettleWrites, self.inner.drop_dead(shard, ids)).await
    }
}
