//! The task that follows the log: announcements as they come, the log itself wherever they leave a doubt.
//!
//! It is the only writer of the views. Announcements may be lost, late or repeated; sequence and nonces show it. A
//! heartbeat's answer is proof only once the cursor has reached its head.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::core::{Follower, Gap, Leap, Progress, Step};
use super::meter::Meter;
use super::shared::{ShardState, Shared};
use super::wakes::Ended;
use super::{Notice, Path};
use crate::backend::{BackendError, Head, LinkState, Logged, Signal, Subscription};
use crate::clock::Boot;
use crate::model::{LineageId, LogId, Seq, Shard};
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
pub(super) struct Heard {
    pub(super) payload: bytes::Bytes,
    /// The last event known to have been logged before it was sent or read since, per shard: whatever was logged later
    /// came later. [`Seq::MAX`] where that is not known.
    pub(super) after: Vec<(Shard, Seq)>,
}

/// Events read from the log at once.
const PAGE_MAX: usize = 500;
/// Heartbeats that wait for the cursor to reach their heads.
const UNPROVEN_MAX: usize = 8;
/// How long an announcement may still be on its way after a heartbeat knew of its event.
const ON_ITS_WAY: Duration = Duration::from_millis(25);
/// Between two attempts to subscribe.
const RESUBSCRIBE: Duration = Duration::from_millis(100);

type Subscribing = Pin<Box<dyn Future<Output = Result<Box<dyn Subscription>, BackendError>> + Send>>;

/// One shard's follower and what it waits for.
struct Following {
    shard: Shard,
    follower: Follower,
    /// Heartbeats whose heads are not reached yet, oldest first.
    unproven: VecDeque<(Seq, Boot)>,
    /// A head that was asked for, since when, and why: announcements are of no use until it is here.
    wanted: Option<(Boot, Wanted)>,
    /// Read the log unless the cursor gets there by itself.
    read_at: Option<Instant>,
    /// The last event announced, and its lineage.
    announced: Option<(LineageId, Seq)>,
    /// Since when events may have been logged that were never announced here, unless the cursor has passed them since.
    unheard: Option<Boot>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Begin(Leap),
    Skip,
}

pub(super) struct Tail {
    shared: Arc<Shared>,
    heads: mpsc::Receiver<Answered>,
    heard: mpsc::Sender<Heard>,
    following: Vec<Following>,
}

impl Tail {
    pub(super) fn new(
        shared: Arc<Shared>,
        heads: mpsc::Receiver<Answered>,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        let began = shared.clock.now();
        let following = |shard| Following {
            shard,
            follower: Follower::default(),
            unproven: VecDeque::new(),
            wanted: None,
            read_at: None,
            announced: None,
            unheard: Some(began),
        };
        let following = shared.count().all().map(following).collect();
        Self { shared, heads, heard, following }
    }

    pub(super) async fn run(&mut self, stop: &CancellationToken) {
        let mut subscription: Option<Box<dyn Subscription>> = None;
        let mut subscribing: Option<Subscribing> = Some(self.subscribing(Duration::ZERO));
        loop {
            let read_at = self.following.iter().filter_map(|it| it.read_at).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(answered) = self.heads.recv() => self.head(&answered),
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
                    self.signal(signal).await;
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

    async fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Event { shard, lineage, logged } => self.announced(shard, &lineage, &logged).await,
            Signal::Wake { namespace, key, filled } => {
                let ended = if filled { Ended::Filled } else { Ended::Empty };
                self.shared.wakes.wake(namespace, key, ended);
            }
            Signal::Confirmed { shard, instance, cursor } => self.shared.confirm(shard, instance, cursor),
            Signal::Inbox(payload) => {
                let after = self.following.iter().map(|it| (it.shard, it.heard_up_to())).collect();
                // Best effort by contract: what does not fit is dropped and counted.
                if self.heard.try_send(Heard { payload, after }).is_err() {
                    self.shared.metrics.count_rejected(RejectReason::Overloaded);
                }
            }
            Signal::Lost => {
                self.missed();
                self.catch_up_all(Gap::Lagged).await;
            }
        }
    }

    /// Announcements were missed, nobody knows which.
    fn missed(&mut self) {
        let now = self.shared.clock.now();
        self.following.iter_mut().for_each(|it| it.unheard = Some(now));
    }

    async fn announced(&mut self, shard: Shard, lineage: &LineageId, logged: &Logged) {
        let following = &mut self.following[usize::from(shard.0)];
        match &mut following.announced {
            Some((of, seq)) if of == lineage => *seq = logged.seq.max(*seq),
            other => *other = Some((lineage.clone(), logged.seq)),
        }
        if following.wanted.is_some() {
            return;
        }
        match following.follower.announced(lineage, logged) {
            Step::Apply => apply(&self.shared, following, logged, Path::Pubsub),
            Step::Repeated => {}
            Step::Missing => self.catch_up(shard, Gap::Sequence, logged.seq).await,
            Step::Trimmed => following.want(&self.shared, Wanted::Skip),
            Step::Other(leap) => following.want(&self.shared, Wanted::Begin(leap)),
        }
    }

    fn head(&mut self, &Answered { shard, sent, ref head }: &Answered) {
        self.shared.shard(shard).learn(head.token.seq);
        let following = &mut self.following[usize::from(shard.0)];
        if let Some((since, wanted)) = following.wanted {
            if since <= sent {
                following.wanted = None;
                following.leap(&self.shared, wanted, sent, head);
            }
            return;
        }
        match following.follower.head(head) {
            Progress::Level => {
                following.caught_up(sent);
                self.shared.shard(shard).view.prove(sent);
            }
            Progress::Behind(seq) => {
                if following.unproven.len() == UNPROVEN_MAX {
                    following.unproven.pop_back();
                }
                following.unproven.push_back((seq, sent));
                following.read_at.get_or_insert_with(|| Instant::now() + ON_ITS_WAY);
            }
            Progress::Other(leap) => following.leap(&self.shared, Wanted::Begin(leap), sent, head),
        }
    }

    async fn read_due(&mut self) {
        let now = Instant::now();
        let due = |it: &&Following| it.read_at.is_some_and(|at| at <= now);
        let due: Vec<Shard> = self.following.iter().filter(due).map(|it| it.shard).collect();
        for shard in due {
            self.catch_up(shard, Gap::Heartbeat, 0).await;
        }
    }

    async fn catch_up_all(&mut self, gap: Gap) {
        for shard in self.shared.count().all() {
            self.catch_up(shard, gap, 0).await;
        }
    }

    /// Reads the log from the cursor to its end. `known` is an event that must be there.
    async fn catch_up(&mut self, shard: Shard, gap: Gap, known: Seq) {
        let following = &mut self.following[usize::from(shard.0)];
        following.read_at = None;
        if following.wanted.is_some() || self.shared.shard(shard).view.lineage().is_none() {
            return;
        }
        self.shared.metrics.count_gap(gap);
        let known = following.unproven.iter().map(|(seq, _)| *seq).fold(known, Seq::max);
        loop {
            let page = match self.shared.backend.read_log(shard, following.follower.cursor(), PAGE_MAX).await
            {
                Ok(page) => page,
                // The next heartbeat that is answered knows that events are missing, and brings us back here.
                Err(error) => {
                    warn!(shard = shard.0, error = %error, "reading the log failed, the next heartbeat tries again");
                    return;
                }
            };
            for logged in &page {
                match following.follower.read(logged) {
                    Step::Apply => apply(&self.shared, following, logged, Path::Stream),
                    Step::Repeated => {}
                    Step::Missing | Step::Trimmed => {
                        self.shared.metrics.count_gap(Gap::Trimmed);
                        return following.want(&self.shared, Wanted::Skip);
                    }
                    Step::Other(leap) => return following.want(&self.shared, Wanted::Begin(leap)),
                }
            }
            if page.len() < PAGE_MAX {
                break;
            }
        }
        following.unheard = None;
        if following.follower.cursor() < known {
            self.shared.metrics.count_gap(Gap::Trimmed);
            following.want(&self.shared, Wanted::Skip);
        }
    }
}

impl Following {
    /// Asks for a head: only one sent from now on tells what to begin or skip to.
    fn want(&mut self, shared: &Shared, wanted: Wanted) {
        self.wanted = Some((shared.clock.now(), wanted));
        shared.shard(self.shard).kick.notify_one();
    }

    /// An event with a higher number was logged after whatever is heard next on the subscription was sent: all before it
    /// were announced on it, or have been read. Where that is not sure, every number counts.
    fn heard_up_to(&self) -> Seq {
        if self.unheard.is_some() || self.wanted.is_some() {
            return Seq::MAX;
        }
        self.announced.as_ref().map_or(0, |(_, seq)| *seq).max(self.follower.cursor())
    }

    /// The cursor is at the head of a heartbeat that was sent at `sent`, or beyond.
    fn caught_up(&mut self, sent: Boot) {
        self.unheard.take_if(|since| *since <= sent);
    }

    fn leap(&mut self, shared: &Shared, wanted: Wanted, sent: Boot, head: &Head) {
        let state = shared.shard(self.shard);
        self.unproven.clear();
        self.read_at = None;
        self.caught_up(sent);
        // Where the lineage is another by now, skipping within the old one would keep what must go.
        let same = state.view.lineage().is_some_and(|followed| followed == head.token.lineage);
        match wanted {
            Wanted::Skip if same => {
                self.follower.skip(head);
                state.view.skip(head.token.seq);
            }
            Wanted::Skip => self.begin(shared, Leap::Lineage, head),
            Wanted::Begin(leap) => self.begin(shared, leap, head),
        }
        state.view.prove(sent);
        state.learn(head.token.seq);
        state.moved.notify_waiters();
    }

    fn begin(&mut self, shared: &Shared, leap: Leap, head: &Head) {
        let state = shared.shard(self.shard);
        if leap != Leap::Start {
            info!(shard = self.shard.0, cause = ?leap, "another history: everything held is asked for again");
        }
        shared.metrics.count_resync(leap);
        self.follower.begin(head);
        state.view.begin(head.token.lineage.clone(), head.token.seq);
        state.follow(&head.token.lineage, shared.clock.now());
    }

    fn prove(&mut self, state: &ShardState) {
        let cursor = self.follower.cursor();
        while let Some((_, sent)) = self.unproven.pop_front_if(|(seq, _)| *seq <= cursor) {
            state.view.prove(sent);
        }
        if self.unproven.is_empty() {
            self.read_at = None;
        }
    }
}

/// Marks, advances, and only then lets proof and confirmations follow.
fn apply(shared: &Shared, following: &mut Following, logged: &Logged, path: Path) {
    let shard = following.shard;
    let state = shared.shard(shard);
    state.view.mark(logged.seq, &logged.event);
    state.view.advance(logged.seq);
    following.prove(state);
    state.learn(logged.seq);
    state.moved.notify_waiters();
    if logged.confirm {
        state.to_confirm.send_replace(logged.seq);
        shared.confirmations.notify_waiters();
    }
    shared.observe_lag(logged.at_ms);
    shared.metrics.count_applied(&logged.event, path);
    if shared.notices.receiver_count() != 0 {
        let id = LogId::new(vec![(shard, logged.seq)]);
        let notice = Notice::Applied { id, event: logged.event.clone(), at_ms: logged.at_ms, path };
        // Without receivers a notice is dropped, as it should be.
        drop(shared.notices.send(notice));
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
