//! The task that follows the log: announcements as they come, the log itself wherever they leave a doubt.
//!
//! It is the only writer of the views. Announcements may be lost, late or repeated; sequence and nonces show it. A
//! heartbeat's answer is proof only once the cursor has reached its head.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Path;
use super::core::{Answer, Gap, Heard};
use super::meter::Meter;
use super::shared::Shared;
use super::tailed::{Tailed, Unreadable};
use super::wakes::Ended;
use crate::backend::{BackendError, EntryId, Head, LinkState, Logged, Signal, Subscription};
use crate::clock::Boot;
use crate::model::{LineageId, Seq, Shard};
use crate::telemetry::labels::RejectReason;

/// A heartbeat's answer on its way to the follower.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) shard: Shard,
    pub(super) sent: Boot,
    pub(super) head: Head,
}

/// A message of the inbox channel.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) payload: bytes::Bytes,
    /// Its share of [`HEARD_BYTES_MAX`].
    pub(super) room: OwnedSemaphorePermit,
    /// The last event known to have been logged before it was sent or read since, per shard: whatever was logged later
    /// came later. [`Seq::MAX`] where that is not known.
    pub(super) after: Vec<(Shard, Seq)>,
}

/// Bytes of messages of the inbox channel that wait to be logged; what does not fit is dropped and counted. A message may
/// have any size until it is looked at.
pub(super) const HEARD_BYTES_MAX: usize = 64 << 20;
/// Signals that are heard before anything else is looked at: the stop, and answers of heartbeats.
const SIGNALS_MAX: usize = 64;
/// Events read from the log at once: few are missing as a rule, and where there are more, many more may be.
const PAGE_FIRST: usize = 100;
const PAGE_MAX: usize = 500;
/// How long an announcement may still be on its way after a heartbeat knew of its event.
const ON_ITS_WAY: Duration = Duration::from_millis(25);
/// For a page of the log where other shards are on other servers: they do not wait for one that stands still. At least so
/// long, and a quarter of what may pass without proof.
const PATIENCE_MIN: Duration = Duration::from_millis(100);
const PATIENCE_SHARE: u32 = 4;
/// Between two attempts to subscribe.
const RESUBSCRIBE: Duration = Duration::from_millis(100);

type Subscribing = Pin<Box<dyn Future<Output = Result<Box<dyn Subscription>, BackendError>> + Send>>;

pub(super) struct Tail {
    shared: Arc<Shared>,
    heads: mpsc::Receiver<Answered>,
    heard: mpsc::Sender<Message>,
    /// In bytes, what is left for messages that wait there.
    heard_room: Arc<Semaphore>,
    shards: Vec<Tailed>,
    /// For a page of the log.
    patience: Duration,
}

impl Tail {
    pub(super) fn new(
        shared: Arc<Shared>,
        heads: mpsc::Receiver<Answered>,
        heard: mpsc::Sender<Message>,
    ) -> Self {
        let began = shared.clock.now();
        let shards = shared.count().all().map(|shard| Tailed::new(shard, began)).collect();
        let patience = if shared.backend.stands_as_one() {
            Duration::MAX
        } else {
            (shared.shortest / PATIENCE_SHARE).max(PATIENCE_MIN)
        };
        let heard_room = Arc::new(Semaphore::new(HEARD_BYTES_MAX));
        Self { shared, heads, heard, heard_room, shards, patience }
    }

    pub(super) async fn run(&mut self, stop: &CancellationToken) {
        let mut subscription: Option<Box<dyn Subscription>> = None;
        let mut subscribing: Option<Subscribing> = Some(self.subscribing(Duration::ZERO));
        loop {
            let read_at = self.shards.iter().filter_map(|it| it.read_at).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(answered) = self.heads.recv() => self.head(&answered).await,
                made = ready(&mut subscribing) => match made {
                    Ok(made) => {
                        (subscription, subscribing) = (Some(made), None);
                        self.shared.subscribed.store(true, Ordering::Relaxed);
                        self.missed();
                        self.catch_up_all(Gap::Reconnect).await;
                    }
                    Err(error) => {
                        warn!(error = %error, "subscribing failed, the log is read by heartbeat until it succeeds");
                        subscribing = Some(self.subscribing(RESUBSCRIBE));
                    }
                },
                signal = next(&mut subscription) => if let Some(signal) = signal {
                    self.signals(signal, &mut subscription).await;
                } else {
                    info!("the subscription ended, making another");
                    self.shared.subscribed.store(false, Ordering::Relaxed);
                    (subscription, subscribing) = (None, Some(self.subscribing(Duration::ZERO)));
                },
                () = sleep_until(read_at.unwrap_or_else(Instant::now)), if read_at.is_some() => self.read_due().await,
            }
        }
    }

    fn subscribing(&self, after: Duration) -> Subscribing {
        let backend = Arc::clone(&self.shared.backend);
        Box::pin(async move {
            tokio::time::sleep(after).await;
            // Without a connection there is nothing to subscribe to; the sender lives as long as the backend.
            let mut link = backend.link();
            if link.wait_for(|state| matches!(state, LinkState::Up { .. })).await.is_err() {
                return Err(BackendError::Unavailable("the backend has ended".to_owned()));
            }
            backend.subscribe().await
        })
    }

    /// A signal, and those behind it that have come by now: each by itself would cost another look at everything else.
    async fn signals(&mut self, first: Signal, subscription: &mut Option<Box<dyn Subscription>>) {
        let (mut next, mut heard) = (Some(first), 0);
        while let Some(signal) = next {
            let after = self.heard_before(&signal, subscription.as_deref());
            self.signal(signal, after).await;
            heard += 1;
            next = if heard < SIGNALS_MAX { subscription.as_mut().and_then(|it| it.ready()) } else { None };
        }
        if heard == SIGNALS_MAX {
            // There may be no end to them, and other tasks have something to do, too.
            yield_now().await;
        }
    }

    async fn signal(&mut self, signal: Signal, after: Vec<(Shard, Seq)>) {
        match signal {
            Signal::Event { shard, lineage, logged } => self.announced(shard, &lineage, &logged).await,
            Signal::Wake { namespace, key, filled } => {
                let ended = if filled { Ended::Filled } else { Ended::Empty };
                self.shared.wakes.wake(&(namespace, key), ended);
            }
            Signal::Unlocked(name) => self.shared.unlocks.wake(&name, ()),
            Signal::Work(shard, partition) => self.shared.work.wake(&(shard, partition), ()),
            Signal::Confirmed { shard, instance, cursor } => self.shared.confirm(shard, instance, cursor),
            Signal::Inbox(payload) => {
                // Best effort by contract: what does not fit is dropped and counted.
                let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                let room = Arc::clone(&self.heard_room).try_acquire_many_owned(bytes);
                let sent =
                    room.is_ok_and(|room| self.heard.try_send(Message { payload, room, after }).is_ok());
                if !sent {
                    self.shared.metrics.count_rejected(RejectReason::Overloaded);
                }
            }
            Signal::Touched(entries) => self.touched(Some(entries)),
            Signal::TouchedAny => self.touched(None),
            Signal::Lost | Signal::Oversized => {
                if signal == Signal::Oversized {
                    self.shared.metrics.count_rejected(RejectReason::Overloaded);
                }
                self.missed();
                self.catch_up_all(Gap::Lagged).await;
            }
        }
    }

    /// What was heard before a message of the inbox channel was sent.
    fn heard_before(&self, signal: &Signal, by: Option<&dyn Subscription>) -> Vec<(Shard, Seq)> {
        if !matches!(signal, Signal::Inbox(_)) {
            return Vec::new();
        }
        let in_order = |shard| by.is_some_and(|by| by.in_order_with_inbox(shard));
        let up_to = |it: &Tailed| if in_order(it.shard) { it.heard_up_to() } else { Seq::MAX };
        self.shards.iter().map(|it| (it.shard, up_to(it))).collect()
    }

    fn touched(&self, entries: Option<Vec<EntryId>>) {
        if let Some(touching) = self.shared.touched.get() {
            touching.tell(entries);
        }
    }

    /// Announcements were missed, nobody knows which.
    fn missed(&mut self) {
        let now = self.shared.clock.now();
        self.shards.iter_mut().for_each(|it| it.unheard = Some(now));
    }

    async fn announced(&mut self, shard: Shard, lineage: &LineageId, logged: &Logged) {
        let state = self.shared.shard(shard);
        let tailed = &mut self.shards[usize::from(shard.0)];
        match &mut tailed.announced {
            Some((of, seq)) if of == lineage => *seq = logged.seq.max(*seq),
            other => *other = Some((lineage.clone(), logged.seq)),
        }
        let now = self.shared.clock.now();
        match tailed.following.announced(&state.view, lineage, logged, now) {
            Heard::Applied => tailed.applied(&self.shared, logged, Path::Pubsub, now),
            Heard::Passed => {}
            Heard::Missing => self.catch_up(shard, Gap::Sequence, logged.seq).await,
            Heard::Trimmed | Heard::Other => state.kick.notify_one(),
        }
    }

    async fn head(&mut self, &Answered { shard, sent, ref head }: &Answered) {
        let state = self.shared.shard(shard);
        state.learn_head(&head.token);
        let tailed = &mut self.shards[usize::from(shard.0)];
        match tailed.following.head(&state.view, sent, head) {
            Answer::Proof => tailed.caught_up(sent),
            Answer::Behind => {
                tailed.read_at.get_or_insert_with(|| Instant::now() + ON_ITS_WAY);
            }
            Answer::Skipped => tailed.leapt(&self.shared, None, sent, head),
            Answer::Begun(leap) => {
                tailed.leapt(&self.shared, Some(leap), sent, head);
                // Asked before the subscription was there: what was logged in between would be in doubt until the next.
                if tailed.unheard.is_some() && self.shared.subscribed.load(Ordering::Relaxed) {
                    self.read_log(shard, 0).await;
                }
            }
            Answer::Early => {}
        }
    }

    async fn read_due(&mut self) {
        let now = Instant::now();
        let due = |it: &&Tailed| it.read_at.is_some_and(|at| at <= now);
        let due: Vec<Shard> = self.shards.iter().filter(due).map(|it| it.shard).collect();
        for shard in due {
            self.catch_up(shard, Gap::Heartbeat, 0).await;
        }
    }

    async fn catch_up_all(&mut self, gap: Gap) {
        for shard in self.shared.count().all() {
            self.catch_up(shard, gap, 0).await;
        }
    }

    /// Reads what was missed. `known` is an event that must be there.
    async fn catch_up(&mut self, shard: Shard, gap: Gap, known: Seq) {
        if self.shards[usize::from(shard.0)].following.reads_after(&self.shared.shard(shard).view).is_some() {
            self.shared.metrics.count_gap(gap);
        }
        self.read_log(shard, known).await;
    }

    /// Reads the log from the cursor to its end.
    async fn read_log(&mut self, shard: Shard, known: Seq) {
        let state = self.shared.shard(shard);
        let tailed = &mut self.shards[usize::from(shard.0)];
        tailed.read_at = None;
        let Some(after) = tailed.following.reads_after(&state.view) else { return };
        let read = async |after, max| {
            let reading = self.shared.backend.read_log(shard, after, max);
            timeout(self.patience, reading).await.unwrap_or(Err(BackendError::TimedOut))
        };
        let (mut page, mut max) = (read(after, PAGE_FIRST).await, PAGE_FIRST);
        loop {
            let read_so_far = match &page {
                Ok(page) => page,
                // The next heartbeat that is answered knows that events are missing, and brings us back here.
                Err(error) => {
                    warn!(shard = shard.0, error = %error, "reading the log failed, the next heartbeat tries again");
                    return;
                }
            };
            let more = read_so_far.last().filter(|_| max <= read_so_far.len()).map(|last| last.seq);
            // The next page is on its way while this one is applied.
            let next = async {
                Ok(match more {
                    Some(after) => Some(read(after, PAGE_MAX).await),
                    None => None,
                })
            };
            match try_join(next, async { tailed.read(&self.shared, read_so_far) }).await {
                Ok((Some(next), ())) => (page, max) = (next, PAGE_MAX),
                Ok((None, ())) => break,
                Err(Unreadable) => return,
            }
        }
        tailed.unheard = None;
        if tailed.following.read_to_end(known, self.shared.clock.now()) == Heard::Trimmed {
            self.shared.metrics.count_gap(Gap::Trimmed);
            state.kick.notify_one();
        }
    }
}

/// The next signal; for ever while there is no subscription.
async fn next(subscription: &mut Option<Box<dyn Subscription>>) -> Option<Signal> {
    match subscription {
        Some(live) => live.next().await,
        None => std::future::pending().await,
    }
}

/// The subscription in the making; for ever while there is none.
async fn ready(subscribing: &mut Option<Subscribing>) -> Result<Box<dyn Subscription>, BackendError> {
    match subscribing {
        Some(making) => making.await,
        None => std::future::pending().await,
    }
}
