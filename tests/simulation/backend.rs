//! The wire as the instance sees it: a backend like any other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use coherd::backend::{
    Arrival, Backend, BackendError, Beat, Dead, EntryId, Fence, Fill, Filled, Found, Head, HotKey,
    InboxEntry, Leave, Line, LinkState, LoadId, LockAsk, LockToken, Locked, Logged, Look, Lookup, Member,
    Partition, Publication, Published, Settled, Settlement, Stored, Subscription, Survey, Take, Taken, Token,
    Waiting,
};
use coherd::model::{Key, Namespace, Seq, Shard, ShardCount, Verdict};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::wire::Wire;

/// A process's backend.
pub(super) struct Remote(pub(super) Arc<Wire>);

/// What tells a load from the process's others: its id without what is random of the process.
fn number(load: &LoadId) -> &str {
    load.0.rsplit('~').next().and_then(|id| id.get(16..)).unwrap_or_default()
}

#[async_trait]
impl Backend for Remote {
    fn shards(&self) -> ShardCount {
        self.0.memory.shards()
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.0.link()
    }

    async fn keep_connected(&self, stop: CancellationToken) -> Result<(), BackendError> {
        stop.cancelled().await;
        Ok(())
    }

    fn distrust(&self, _shard: Shard, why: &str) {
        self.0.end(why);
    }

    async fn peek(&self, entries: &[EntryId]) -> Result<Vec<Option<Stored>>, BackendError> {
        let draw = self.0.draw("peek", entries);
        let entries = entries.to_vec();
        self.0.ask(draw, false, async move |memory| memory.peek(&entries).await).await
    }

    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError> {
        let load = lookup.claim.as_ref().map(|claim| number(&claim.load).to_owned());
        let draw = self.0.draw("lookup", (&lookup.entry, load));
        self.0.ask(draw, false, async move |memory| memory.lookup(lookup).await).await
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError> {
        let draw = self.0.draw("fill", number(&fill.load));
        self.0.ask(draw, false, async move |memory| memory.fill(fill).await).await
    }

    async fn lease(&self, entry: &EntryId) -> Result<Option<(LoadId, Duration)>, BackendError> {
        let draw = self.0.draw("lease", entry);
        let entry = entry.clone();
        self.0.ask(draw, false, async move |memory| memory.lease(&entry).await).await
    }

    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError> {
        let draw = self.0.draw("release", number(load));
        let (entry, load) = (entry.clone(), load.clone());
        self.0.ask(draw, false, async move |memory| memory.release(&entry, &load).await).await
    }

    /// A write to the cache alone is `prompt`: one that took effect long after its writer gave up would put an old
    /// value back, as with any store.
    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError> {
        let draw = self.0.draw("publish", (shard, &publication.event.targets));
        let prompt = publication.along.is_some();
        self.0.ask(draw, prompt, async move |memory| memory.publish(shard, publication).await).await
    }

    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError> {
        let draw = self.0.draw("beat", shard);
        self.0.ask(draw, false, async move |memory| memory.beat(shard, beat).await).await
    }

    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError> {
        let (draw, instance) = (self.0.draw("confirm", shard), instance.to_owned());
        self.0.ask(draw, false, async move |memory| memory.confirm(shard, &instance, cursor).await).await
    }

    async fn head(&self, shard: Shard) -> Result<Token, BackendError> {
        let draw = self.0.draw("head", shard);
        self.0.ask(draw, false, async move |memory| memory.head(shard).await).await
    }

    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError> {
        let mut draw = self.0.draw("read_log", shard);
        if self.0.sea.weather().log_fails(&mut draw) {
            return Err(BackendError::TimedOut);
        }
        self.0.ask(draw, false, async move |memory| memory.read_log(shard, after, max).await).await
    }

    /// Nobody is limited here.
    async fn admit(&self, arrival: Arrival<'_>) -> Result<Verdict, BackendError> {
        self.0.memory.admit(arrival).await
    }

    /// Nor does anybody take a lock.
    async fn lock(&self, ask: LockAsk<'_>) -> Result<Locked, BackendError> {
        self.0.memory.lock(ask).await
    }

    async fn extend(
        &self,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Option<Fence>, BackendError> {
        self.0.memory.extend(name, token, ttl).await
    }

    async fn unlock(&self, name: &Key, token: &LockToken) -> Result<bool, BackendError> {
        self.0.memory.unlock(name, token).await
    }

    /// Nobody starts with what another left.
    async fn keep_hot(&self, namespace: &Namespace, keys: &[HotKey]) -> Result<(), BackendError> {
        self.0.memory.keep_hot(namespace, keys).await
    }

    async fn hot(&self, namespace: &Namespace) -> Result<Vec<Key>, BackendError> {
        self.0.memory.hot(namespace).await
    }

    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError> {
        let draw = self.0.draw("members", shard);
        self.0.ask(draw, false, async move |memory| memory.members(shard).await).await
    }

    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError> {
        let (draw, instance) = (self.0.draw("forget", (shard, instance)), instance.to_owned());
        self.0.ask(draw, false, async move |memory| memory.forget(shard, &instance, beats).await).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError> {
        let (draw, wire, alive) = (self.0.draw("subscribe", ()), Arc::clone(&self.0), self.0.alive()?);
        let heard = self.0.ask(draw, false, async move |_| Ok(wire.listen(alive))).await?;
        Ok(Box::new(heard))
    }

    /// What is asked for is there, or is not; whoever wants to wait waits here.
    async fn inbox(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let (draw, consumer) = (self.0.draw("inbox", ()), consumer.to_owned());
        let mut pause = self.0.draw("inbox.pause", ());
        let take = async move |memory: Arc<coherd::backend::memory::Memory>| {
            let taken = futures_util::FutureExt::now_or_never(memory.inbox(&consumer, max, Duration::MAX));
            taken.unwrap_or(Ok(Vec::new()))
        };
        let taken = self.0.ask(draw, false, take).await?;
        if taken.is_empty() {
            let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
            self.0.sea.world.pause_at(&self.0.gate, &mut pause, wait).await;
        }
        Ok(taken)
    }

    async fn inbox_adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let (draw, consumer) = (self.0.draw("inbox_adopt", ()), consumer.to_owned());
        self.0.ask(draw, false, async move |memory| memory.inbox_adopt(&consumer, max, idle).await).await
    }

    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError> {
        let (draw, ids) = (self.0.draw("inbox_done", ()), ids.to_vec());
        self.0.ask(draw, false, async move |memory| memory.inbox_done(&ids).await).await
    }

    /// Nor does anybody write behind.
    async fn take_writes(&self, shard: Shard, take: Take) -> Result<Taken, BackendError> {
        self.0.memory.take_writes(shard, take).await
    }

    async fn value_of_write(&self, shard: Shard, line: &Line) -> Result<Option<Bytes>, BackendError> {
        self.0.memory.value_of_write(shard, line).await
    }

    async fn settle_writes(
        &self,
        shard: Shard,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Result<Vec<Settlement>, BackendError> {
        self.0.memory.settle_writes(shard, partition, settled).await
    }

    async fn leave_writes(&self, shard: Shard, leave: Leave) -> Result<(), BackendError> {
        self.0.memory.leave_writes(shard, leave).await
    }

    async fn survey(&self, shard: Shard, look: Look) -> Result<Survey, BackendError> {
        self.0.memory.survey(shard, look).await
    }

    async fn waiting_writes(
        &self,
        shard: Shard,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Waiting>, BackendError> {
        self.0.memory.waiting_writes(shard, partition, max).await
    }

    async fn dead_writes(&self, shard: Shard, after: &str, max: usize) -> Result<Vec<Dead>, BackendError> {
        self.0.memory.dead_writes(shard, after, max).await
    }

    async fn drop_dead(&self, shard: Shard, ids: &[String]) -> Result<u64, BackendError> {
        self.0.memory.drop_dead(shard, ids).await
    }
}
