//! The workers of the queues: each takes what is due, brings it to its origin, and says what became of it.
//!
//! A queue has one worker at a time, by a lease; what a worker that died had in hand is taken over. Workers that are there
//! hand queues to each other until each has its share. All of that is for efficiency alone: that an older write never
//! undoes a newer one is up to the fence at the origin, and that none is lost to the dirty entry, which only the origin's
//! word makes clean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::hand::{Ended, Hand};
use super::heir::{Heir, Heirs, out_of_patience};
use super::share::Shares;
use super::{Shared, fence, pause};
use crate::backend::{
    BackendError, Leave, Line, LinkState, Partition, Pending, Settled, Settlement, Take, Taken, wire,
};
use crate::coherence::Waker;
use crate::guard::{Urgency, share_of};
use crate::model::{Content, LogId, Shard};
use crate::origin::{Applied, Change, WriteError};
use crate::telemetry::Throttle;
use crate::telemetry::labels::WriteOutcome;

/// What ends within this, while others are under way, is settled together, and what comes within it after others were taken
/// is taken together: a step of the backend costs about as much for one write as for ten. Whoever comes alone goes at once.
const GATHER: Duration = Duration::from_millis(20);
/// After the backend failed.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest text of an error that is kept with its write.
const ERROR_BYTES_MAX: usize = 500;

static DEAD: Throttle = Throttle::new();

/// The worker of a queue.
pub(super) struct Worker {
    shared: Arc<Shared>,
    shard: Shard,
    partition: Partition,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, shard: Shard, partition: Partition) -> Self {
        Self { shared, shard, partition }
    }

    /// Works until the stop; then what is in hand is finished, or handed back.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut hand = Hand::new(self.shared.settings.batch);
        let (mut own, mut next, mut news) = (false, Instant::now(), None);
        let mut looked = next;
        let mut adopt = Adopt::default();
        let mut shares = self.shared.shares.subscribe();
        let mut heirs = Heirs::default();
        loop {
            let patience = self.lease() / 2;
            let heir = heirs.next(self.better(&mut shares), own, patience);
            if let Some(Heir { to, until }) = &heir
                && (hand.is_empty() || *until <= Instant::now())
            {
                self.leave(Some(to)).await;
                heirs.handed_to(Arc::clone(to), patience);
                (own, next) = (false, Instant::now());
                continue;
            }
            let takes = heir.is_none() && hand.has_room();
            if takes && next <= Instant::now() {
                // Before the look, and kept until the next: no news falls between.
                news = Some(self.shared.coherence.work(self.shard, self.partition));
                looked = Instant::now();
                let took = self.take(&mut hand, &mut adopt).await;
                adopt.all |= took.own && !own;
                let pause = if adopt.all { took.pause.min(GATHER) } else { took.pause };
                (own, next) = (took.own, Instant::now() + pause);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                ended = hand.ended() => {
                    let (due, noted) = self.settle(&mut hand, ended).await;
                    // What was not noted is looked for as in a queue that has just become the worker's own.
                    own &= noted;
                    next = due.map_or(next, |due| next.min(Instant::now() + due));
                }
                () = told(&mut news) => {
                    news = None;
                    let soon = if hand.is_empty() { looked } else { Instant::now() } + GATHER;
                    next = next.min(soon);
                }
                Ok(()) = shares.changed() => {}
                () = sleep_until(next), if takes && hand.has_room() => {}
                () = out_of_patience(heir.as_ref()) => {}
            }
        }
        self.hand_back(hand).await;
    }

    /// For how long the queue is the worker's own when it takes.
    fn lease(&self) -> Duration {
        self.shared.settings.takeover / 2
    }

    /// Who shall have the queue, if another.
    fn better(&self, shares: &mut watch::Receiver<Shares>) -> Option<Arc<str>> {
        let shares = shares.borrow_and_update();
        shares.of(self.shard, self.partition).filter(|of| ***of != *self.shared.coherence.member()).cloned()
    }

    /// Whatever there is of a queue that is no longer used, until nothing is left.
    pub(super) async fn drain(&self, stop: &CancellationToken) {
        let mut hand = Hand::new(self.shared.settings.batch);
        let mut adopt = Adopt::default();
        loop {
            let took = self.take(&mut hand, &mut adopt).await;
            if hand.is_empty() {
                if !took.pause.is_zero() {
                    break;
                }
                continue;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                ended = hand.ended() => drop(self.settle(&mut hand, ended).await),
            }
        }
        self.hand_back(hand).await;
    }

    /// Takes as many as there is room for; says when to look again, if nothing happens before. From `adopt` on, which then
    /// is later, what others left behind is looked for.
    async fn take(&self, hand: &mut Hand, adopt: &mut Adopt) -> Took {
        let lease = self.lease();
        // The queue is the worker's own for as long as it comes back in time.
        let renew = lease / 3;
        let all = std::mem::take(&mut adopt.all);
        let look = all || adopt.from.is_none_or(|from| from <= Instant::now());
        if look {
            adopt.from = Some(Instant::now() + renew);
        }
        let take = Take {
            partition: self.partition,
            worker: self.shared.coherence.member().to_owned(),
            consumer: self.shared.instance.clone(),
            lease,
            pause_max: pause::longest(&self.shared.settings),
            idle: if all { Duration::ZERO } else { lease },
            adopt: look,
            max: hand.room(),
        };
        let (writes, superseded, more, due) = match self.shared.backend.take_writes(self.shard, take).await {
            Ok(Taken::Own { writes, superseded, more, due }) => (writes, superseded, more, due),
            Ok(Taken::Other { left }) => {
                return Took { own: false, pause: left.min(lease / 2) + Duration::from_millis(1) };
            }
            Err(error) => return Took { own: false, pause: self.away(&error).await },
        };
        self.shared.metrics.applied.of(WriteOutcome::Superseded).inc_by(superseded);
        let (mut outdated, room) = (Vec::new(), hand.room());
        for write in writes {
            outdated.extend(hand.take(write, |write| self.begin(write)));
        }
        if !outdated.is_empty() {
            self.tell(outdated.into_iter().map(|line| (line, passed_over())).collect()).await;
        }
        // There may be more of them than there was room for.
        adopt.all = all && hand.room() < room;
        let due = due.map_or(renew, |due| due.clamp(Duration::from_millis(1), renew));
        Took { own: true, pause: if more { Duration::ZERO } else { due } }
    }

    async fn away(&self, error: &BackendError) -> Duration {
        debug!(error = %error, "no writes were taken");
        let mut link = self.shared.backend.link();
        let up = link.wait_for(|state| matches!(state, LinkState::Up { .. }));
        drop(timeout(self.shared.settings.takeover, up).await);
        AGAIN
    }

    /// On its way to its origin.
    fn begin(&self, write: Pending) -> BoxFuture<'static, Ended> {
        let (shared, shard) = (Arc::clone(&self.shared), self.shard);
        async move {
            let settled = bring(&shared, shard, &write).await;
            (write.line, settled)
        }
        .boxed()
    }

    /// Says what became of one write, and of those that end soon after it. When the first of those that are parked is due,
    /// and whether the backend has noted it.
    async fn settle(&self, hand: &mut Hand, first: Ended) -> (Option<Duration>, bool) {
        let mut ended = vec![first];
        let gather = async {
            while hand.is_under_way() {
                ended.push(hand.ended().await);
            }
        };
        let _elapsed = timeout(GATHER, gather).await.is_err();
        let lines: Vec<Line> = ended.iter().map(|(line, _)| line.clone()).collect();
        let due = ended.iter().filter_map(|(_, settled)| again(settled)).min();
        let noted = self.tell(ended).await;
        for line in &lines {
            hand.settled(line, |write| self.begin(write));
        }
        (due, noted)
    }

    /// What cannot be said now is done again by whoever takes the line over: the origin knows it by its fence.
    async fn tell(&self, ended: Vec<Ended>) -> bool {
        let outcomes: Vec<WriteOutcome> = ended.iter().map(|(_, settled)| outcome(settled)).collect();
        match self.shared.backend.settle_writes(self.shard, self.partition, ended).await {
            Ok(settlements) => {
                for (settlement, outcome) in settlements.into_iter().zip(outcomes) {
                    let outcome = match settlement {
                        Settlement::Done => outcome,
                        Settlement::Superseded => WriteOutcome::Superseded,
                        Settlement::Full => WriteOutcome::Retried,
                    };
                    self.shared.metrics.applied.of(outcome).inc();
                }
                true
            }
            Err(error) => {
                debug!(error = %error, "what became of writes was not noted, they are taken again");
                sleep(AGAIN).await;
                false
            }
        }
    }

    /// Finishes what is in hand, within the grace; the rest is another's at once.
    async fn hand_back(&self, mut hand: Hand) {
        let ends = Instant::now() + self.shared.settings.grace;
        while !hand.is_empty() {
            match timeout_at(ends, hand.ended()).await {
                Ok(ended) => drop(self.settle(&mut hand, ended).await),
                Err(_elapsed) => break,
            }
        }
        let back = |line| {
            let error = "handed back by an instance that stopped".to_owned();
            (line, Settled::Parked { pause: Duration::ZERO, counts: false, error })
        };
        let rest: Vec<Ended> = hand.lines().into_iter().map(back).collect();
        if !rest.is_empty() {
            self.tell(rest).await;
        }
        self.leave(None).await;
    }

    /// Gives the queue up, to whomever comes or to one that has as long as a lease lasts to come for it.
    async fn leave(&self, to: Option<&str>) {
        let leave = Leave {
            partition: self.partition,
            worker: self.shared.coherence.member().to_owned(),
            to: to.map(|to| (to.to_owned(), self.lease())),
        };
        if let Err(error) = self.shared.backend.leave_writes(self.shard, leave).await {
            debug!(error = %error, "a queue was not given up, its lease runs out");
        }
    }
}

/// When what others left behind is looked for.
#[derive(Default)]
struct Adopt {
    from: Option<Instant>,
    /// However short a time ago it was taken: the queue has just become the worker's own, and nobody else has anything of
    /// it in hand. What was taken while the server's clock was ahead seems to be taken in a moment that is still to come.
    all: bool,
}

/// How a look for work went.
struct Took {
    /// The queue is the worker's.
    own: bool,
    /// Until the next, if nothing happens before.
    pause: Duration,
}

/// What the write stores, as the backend has it; `None`: a newer write of its key has its place.
async fn value(shared: &Shared, shard: Shard, write: &Pending) -> Result<Option<Bytes>, BackendError> {
    match shared.accepted.take(shard, &write.lineage, write.line.seq) {
        Some(envelope) => Ok(Some(envelope)),
        None => shared.backend.value_of_write(shard, &write.line).await,
    }
}

/// Of a write that another took the place of: the backend knows, and its line is done with.
fn passed_over() -> Settled {
    Settled::Parked { pause: Duration::ZERO, counts: false, error: String::new() }
}

/// Brings a write to its origin, and says what is to become of it.
async fn bring(shared: &Shared, shard: Shard, write: &Pending) -> Settled {
    let Line { entry, seq, .. } = &write.line;
    let settings = &shared.settings;
    let later = |pause, error| Settled::Parked { pause, counts: false, error };
    let not_here = |error: &str| later(settings.takeover, error.to_owned());
    let Some(slot) = shared.slot(&entry.namespace) else {
        return not_here("this instance does not write the namespace's origin");
    };
    // Before the value is read: what waits for a place has none in memory.
    let Ok(_place) = slot.places.acquire().await else { return not_here("the instance is stopping") };
    let envelope = match value(shared, shard, write).await {
        Ok(Some(envelope)) => envelope,
        Ok(None) => return passed_over(),
        Err(error) => {
            // What cannot be read now is not read a moment later.
            let pause = if matches!(error, BackendError::Protocol(_)) { settings.max } else { AGAIN };
            return later(pause, format!("the value was not read: {error}"));
        }
    };
    let change = match wire::decode(&envelope, usize::MAX).map(|envelope| envelope.content) {
        Ok(Content::Present(value)) => Change::Put(value),
        Ok(Content::Absent) => Change::Delete,
        Err(error) => return dead(shared, shard, write, &format!("the value cannot be read: {error}")),
    };
    let fence = fence(shard, &write.lineage, *seq);
    match slot.of.origin.write(&entry.key, &change, &fence, Urgency::default()).await {
        Ok(Applied::Done) => Settled::Flushed { event: slot.of.lags },
        Ok(Applied::Superseded) => Settled::Outdone,
        Err(error @ WriteError::Refused(_)) => dead(shared, shard, write, &error.to_string()),
        Err(WriteError::Failed { error, retry_after }) => {
            let counts = pause::was_asked(&error);
            let attempts = write.attempts.saturating_add(u32::from(counts));
            let text = shortened(&error.to_string());
            if counts && settings.attempts <= attempts {
                return dead(shared, shard, write, &format!("after {attempts} attempts: {text}"));
            }
            let share = share_of(&shared.instance, &entry.key, shared.coherence.clock().now());
            let pause = pause::after(settings, attempts, &error, retry_after, share);
            Settled::Parked { pause, counts, error: text }
        }
    }
}

fn dead(shared: &Shared, shard: Shard, write: &Pending, why: &str) -> Settled {
    if let Some(suppressed) = DEAD.pass() {
        let Line { entry, seq, .. } = &write.line;
        let id = LogId::new(vec![(shard, *seq)]);
        warn!(
            write.id = %id, namespace = %entry.namespace, entry.key = %entry.key, error = why, suppressed,
            "a write is given up, it is among the dead letters"
        );
    }
    let settings = &shared.settings;
    Settled::Dead { max: settings.backlog_max, pause: settings.max, error: shortened(why) }
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(ERROR_BYTES_MAX)].to_owned()
}

/// Comes with the news, if any is waited for.
async fn told(news: &mut Option<Waker<()>>) {
    match news {
        Some(news) => news.ended().await,
        None => std::future::pending().await,
    }
}

/// When it is tried again, if it is.
fn again(settled: &Settled) -> Option<Duration> {
    match settled {
        Settled::Flushed { .. } | Settled::Outdone => None,
        // Unless there is room among the dead.
        Settled::Parked { pause, .. } | Settled::Dead { pause, .. } => Some(*pause),
    }
}

fn outcome(settled: &Settled) -> WriteOutcome {
    match settled {
        Settled::Flushed { .. } => WriteOutcome::Applied,
        Settled::Outdone => WriteOutcome::Superseded,
        Settled::Parked { .. } => WriteOutcome::Retried,
        Settled::Dead { .. } => WriteOutcome::Dead,
    }
}
