//! The room's face: what the read path, the door and the status pages ask of it; and its tasks, handed to the supervisor.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Mutex, broadcast, mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::audit;
use super::core::{Decision, Stamp, View};
use super::form::FormError;
use super::meter::{Meter, reason};
use super::publish::{self, Terms};
use super::shared::{Sample, ShardState, Shared, Touches, Touching};
use super::tail::{Answered, Message, Tail};
use super::wakes::{Ended, Waker};
use super::{
    Notice, PublishError, Receipt, Status, WaitMode, Waited, barrier, confirm, heartbeat, inbox, members,
    vouch,
};
use crate::backend::{Along, Backend, BackendError, Logged, Partition, Token};
use crate::clock::{Boot, Clock};
use crate::model::{Event, Key, LogId, Namespace, Seq, Shard};
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::CoherenceMetrics;
use crate::telemetry::labels::{EventPath, EventSource, RejectReason, TargetKind};
use crate::telemetry::trace::Tracer;

/// Heartbeats' answers that wait for the follower.
const HEADS_MAX: usize = 64;
/// Messages of the inbox channel that wait to be logged; further ones are dropped and counted.
const HEARD_MAX: usize = 65_536;
/// How long a read waits for an event that it must not be older than.
const REACH_MAX: Duration = Duration::from_millis(250);
/// The usual [`Settings::slots`]: 16 MiB.
pub const SLOTS: usize = 1 << 20;
/// Beyond the longest `max_staleness`: how long a publisher waits unless it says otherwise.
const WAIT_SLACK: Duration = Duration::from_secs(1);

/// What the room is built from.
pub struct Settings {
    /// What instances share.
    pub backend: Arc<dyn Backend>,
    /// The clock of the protocol.
    pub clock: Clock,
    /// The room's metrics.
    pub metrics: Arc<CoherenceMetrics>,
    /// Begins the spans of events that are traced.
    pub tracer: Tracer,
    /// `instance.id`.
    pub instance: String,
    /// Tells this process from another of the same `instance.id`: random, but for simulations.
    pub process: u32,
    /// Places for names in the watermark tables of all shards together, rounded up to a power of two per shard; 16 bytes
    /// each. Names that share a place only invalidate too much. [`SLOTS`] but for tests.
    pub slots: usize,
    /// Every namespace's `version` and `max_staleness`.
    pub namespaces: HashMap<Namespace, (u32, Duration)>,
    /// Namespaces whose keys others depend on: their events concern every shard.
    pub depended_on: HashSet<Namespace>,
    /// `coherence.max_staleness`, for names of no namespace.
    pub max_staleness: Duration,
    /// For how long applied events are remembered: the longest `origin_lag` of any namespace and a load's time there; for
    /// loads that take longer all that is forgotten counts as just before that. Zero: no origin lags.
    pub recent: Duration,
}

/// The protocol, as the rest of the instance sees it.
pub struct Coherence {
    shared: Arc<Shared>,
    known: publish::Known,
    barriers: Vec<mpsc::Sender<barrier::Asked>>,
    waiting: Vec<Arc<Mutex<mpsc::Receiver<barrier::Asked>>>>,
}

impl Coherence {
    /// Builds the room; nothing runs before [`Coherence::start`].
    pub fn new(settings: Settings) -> Arc<Self> {
        let Settings {
            backend,
            clock,
            metrics,
            tracer,
            instance,
            process,
            slots,
            namespaces,
            depended_on,
            max_staleness,
            recent,
        } = settings;
        let each = namespaces.values().map(|(_, staleness)| *staleness);
        let shortest = each.clone().fold(max_staleness, Duration::min);
        let longest = each.fold(max_staleness, Duration::max);
        let versions = namespaces.into_iter().map(|(name, (version, _))| (name, version)).collect();
        let known = publish::Known { versions, depended_on };
        let member = members::unique(&instance, process);
        let shared = Arc::new(Shared::new(
            backend,
            clock,
            (metrics, tracer),
            member,
            (shortest, longest),
            slots,
            recent,
        ));
        let (barriers, waiting) = shared
            .count()
            .all()
            .map(|_| mpsc::channel(barrier::WAITING_MAX))
            .map(|(sender, receiver)| (sender, Arc::new(Mutex::new(receiver))))
            .unzip();
        Arc::new(Self { shared, known, barriers, waiting })
    }

    /// Has this instance remember what it sees, and tell it where the server is another one (`on_failover = "verify"`).
    /// Before [`Self::start`].
    pub fn vouch(&self, supervisor: &Supervisor) {
        let (sender, left) = mpsc::channel(vouch::LEFT_MAX);
        drop(self.shared.left.set(sender));
        let (shared, left) = (Arc::clone(&self.shared), Arc::new(Mutex::new(left)));
        supervisor.task(Stage::Coherence, "coherence.vouch", move |stop| {
            let (shared, left) = (Arc::clone(&shared), Arc::clone(&left));
            async move {
                vouch::run(shared, &mut *left.lock().await, stop).await;
                Ok(())
            }
        });
    }

    /// Hands the room's tasks to the supervisor.
    pub fn start(self: &Arc<Self>, supervisor: &Supervisor) {
        let (heads, answered) = mpsc::channel::<Answered>(HEADS_MAX);
        let (heard, messages) = mpsc::channel::<Message>(HEARD_MAX);
        let shared = &self.shared;

        // A task that is restarted goes on with what its predecessor owned.
        let tail = Arc::new(Mutex::new(Tail::new(Arc::clone(shared), answered, heard)));
        supervisor.task(Stage::Coherence, "coherence.tail", move |stop| {
            let tail = Arc::clone(&tail);
            async move {
                tail.lock().await.run(&stop).await;
                Ok(())
            }
        });
        for shard in shared.count().all() {
            let beating = Arc::new(heartbeat::Heartbeat::new(Arc::clone(shared), shard, heads.clone()));
            supervisor.task(Stage::Coherence, "coherence.heartbeat", move |stop| {
                let beating = Arc::clone(&beating);
                async move {
                    beating.run(&stop).await;
                    Ok(())
                }
            });
            let of = Arc::clone(shared);
            supervisor.task(Stage::Coherence, "coherence.confirm", move |stop| {
                let shared = Arc::clone(&of);
                async move {
                    confirm::run(shared, shard, stop).await;
                    Ok(())
                }
            });
            let (of, asked) = (Arc::clone(shared), Arc::clone(&self.waiting[usize::from(shard.0)]));
            supervisor.task(Stage::Coherence, "coherence.barrier", move |stop| {
                let (shared, asked) = (Arc::clone(&of), Arc::clone(&asked));
                async move {
                    barrier::run(shared, shard, &mut *asked.lock().await, stop).await;
                    Ok(())
                }
            });
        }
        let of = Arc::clone(shared);
        supervisor.task(Stage::Coherence, "coherence.members", move |stop| {
            let shared = Arc::clone(&of);
            async move {
                members::run(shared, stop).await;
                Ok(())
            }
        });
        let of = Arc::clone(self);
        supervisor.task(Stage::Coherence, "coherence.inbox", move |stop| {
            let coherence = Arc::clone(&of);
            async move {
                inbox::stream(coherence, stop).await;
                Ok(())
            }
        });
        let (of, messages) = (Arc::clone(self), Arc::new(Mutex::new(messages)));
        supervisor.task(Stage::Coherence, "coherence.inbox_channel", move |stop| {
            let (coherence, messages) = (Arc::clone(&of), Arc::clone(&messages));
            async move {
                inbox::channel(&coherence, &mut *messages.lock().await, &stop).await;
                Ok(())
            }
        });
    }

    /// Withdraws the membership: from here on nothing may be answered from copies.
    pub async fn leave(&self) {
        for shard in self.shared.count().all() {
            if let Err(error) = self.shared.backend.forget(shard, &self.shared.member, None).await {
                debug!(error = %error, "the membership was not withdrawn, the others find out by themselves");
            }
        }
    }

    /// Logs an event in every shard it concerns. Returns once all of them have it.
    pub async fn publish(&self, event: Event, terms: &Terms) -> Result<Receipt, PublishError> {
        let audited = audit::Entry::of(&event, terms);
        let published = publish::publish(&self.shared, &self.known, event, None, terms).await;
        if let Some(entry) = audited {
            entry.ended(&published);
        }
        published
    }

    /// Logs an event for one key, and what goes along with it in the same step.
    pub async fn publish_along(
        &self,
        event: Event,
        along: Along,
        terms: &Terms,
    ) -> Result<Receipt, PublishError> {
        publish::publish(&self.shared, &self.known, event, Some(along), terms).await
    }

    /// Registers to be told of work in a queue of writes, before it is looked at.
    pub fn work(&self, shard: Shard, partition: Partition) -> Waker<()> {
        self.shared.work.register((shard, partition))
    }

    /// Waits until no instance can answer with anything older than the event.
    /// `limit` of `None`: the longest `max_staleness` plus one second.
    pub async fn wait_all(&self, receipt: &Receipt, limit: Option<Duration>) -> Waited {
        let shared = &self.shared;
        let began = shared.clock.now();
        let end = began + limit.unwrap_or(shared.longest + WAIT_SLACK);
        let confirmed = |shard: Shard, instance: &str| shared.confirmed(shard, instance);
        let mode = loop {
            // Registered before deciding: a confirmation in between is not missed.
            let news = shared.confirmations.notified();
            let now = shared.clock.now();
            let until = match receipt.wait.decide(now, confirmed) {
                Decision::Early => break WaitMode::Early,
                Decision::Late => break WaitMode::Late,
                Decision::Until(_) if end <= now => break WaitMode::TimedOut,
                Decision::Until(late) => late.min(end),
            };
            // Either news of a member, or time: decided afresh in any case.
            drop(timeout(until.since(now), news).await);
        };
        shared.metrics.observe_wait(mode, shared.clock.now().since(began).as_secs_f64());
        let names = |members: Vec<String>| members.iter().map(|it| members::display(it)).collect();
        let (applied, missing) = receipt.wait.tally(confirmed);
        Waited { mode, applied: names(applied), missing: names(missing) }
    }

    /// What copies of a shard are judged by, at a moment after they were found.
    pub fn view(&self, shard: Shard) -> &View {
        &self.shared.shard(shard).view
    }

    /// Whether copies of this shard may be trusted now.
    pub fn leased(&self, shard: Shard, max_staleness: Duration) -> bool {
        self.shared.shard(shard).view.leased(self.shared.clock.now(), max_staleness)
    }

    /// The stamp of a token, if this instance follows its lineage.
    pub fn stamp(&self, shard: Shard, token: &Token) -> Option<Stamp> {
        self.shared.shard(shard).view.stamp(token)
    }

    /// The place in the shard's log that this instance has reached, if it follows one.
    pub fn place(&self, shard: Shard) -> Option<Token> {
        self.shared.shard(shard).view.place()
    }

    /// The shard of a key.
    pub fn shard_of(&self, namespace: &Namespace, key: &Key) -> Shard {
        self.shared.count().of(namespace, key)
    }

    /// Waits, a quarter of a second at most, until everything up to `seq` has been applied.
    pub async fn reach(&self, shard: Shard, seq: Seq) -> bool {
        let state = self.shared.shard(shard);
        let reached = async {
            loop {
                let moved = state.moved.notified();
                if seq <= state.view.cursor() {
                    return;
                }
                moved.await;
            }
        };
        timeout(REACH_MAX, reached).await.is_ok()
    }

    /// Where the log stands, asked after this call was made; one question serves all who ask meanwhile.
    pub async fn barrier(&self, shard: Shard) -> Result<Token, BackendError> {
        let (answer, answered) = oneshot::channel();
        let ended = || BackendError::Unavailable("the instance is stopping".to_owned());
        if self.barriers[usize::from(shard.0)].try_send(answer).is_err() {
            return Err(BackendError::Unavailable("too many strict reads wait".to_owned()));
        }
        answered.await.map_err(|_| ended())?
    }

    /// Registers for the end of another load's lease on a key. Ask for the lease after this.
    pub fn waker(&self, namespace: &Namespace, key: &Key) -> Waker<Ended> {
        self.shared.wakes.register((namespace.clone(), key.clone()))
    }

    /// Registers for the end of another's lock. Ask for the lock after this. A lock that expires ends in silence.
    pub fn unlocked(&self, name: &Key) -> Waker<()> {
        self.shared.unlocks.register(name.clone())
    }

    /// The server's clock at a moment, in milliseconds since 1970, as far as this machine knows.
    pub fn server_ms(&self, at: Boot) -> u64 {
        self.shared.server_ms(at)
    }

    /// A shard's server's clock at a moment, in microseconds since 1970, as far as this machine knows.
    pub fn server_us(&self, shard: Shard, at: Boot) -> u64 {
        self.shared.shard(shard).server_clock.micros(at)
    }

    /// Where this instance stands in the shard's history, if it follows one.
    pub fn position(&self, shard: Shard) -> Option<Stamp> {
        let view = &self.shared.shard(shard).view;
        view.stamp(&view.place()?)
    }

    /// The events applied here whose number's hash is below `threshold`, of which `max` wait; what has no room is left
    /// out. For one follower: a second one is told of nothing.
    pub fn sampled(&self, threshold: u64, max: usize) -> mpsc::Receiver<(Shard, Logged)> {
        let (sender, receiver) = mpsc::channel(max);
        // A second sender is dropped here, and its receiver ends.
        drop(self.shared.sample.set(Sample::new(threshold, sender)));
        receiver
    }

    /// Changes of entries, where the backend tells of them. For one follower: a second one is told of nothing.
    pub fn touches(&self, max: usize) -> Touches {
        let (touching, touches) = Touching::new(max);
        drop(self.shared.touched.set(touching));
        touches
    }

    /// A copy was dropped because L2 does not hold it any more; whether somebody else changed that.
    pub fn count_touched(&self, foreign: bool) {
        self.shared.metrics.applied.of(TargetKind::Key).of(EventPath::Tracking).inc();
        if foreign {
            self.shared.metrics.published.of(EventSource::Tracking).inc();
        }
    }

    /// The clock of the protocol.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// All shards have proof that is young enough for every namespace.
    pub fn attached(&self) -> bool {
        self.shared.attached()
    }

    /// Announcements and messages of the inbox channel are heard.
    pub fn listening(&self) -> bool {
        self.shared.subscribed.load(Ordering::Relaxed)
    }

    /// Events as they are applied here, and changes of attachment.
    pub fn follow(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// For `/stats`.
    pub fn status(&self) -> Status {
        let shards = || self.shared.count().all().map(|shard| (shard, self.shared.shard(shard)));
        let cursor = shards().map(|(shard, state)| (shard, state.view.cursor())).collect();
        let head = shards().map(|(shard, state)| (shard, state.head())).collect();
        let lag_events = shards().map(|(_, state)| state.head().saturating_sub(state.view.cursor())).sum();
        Status {
            attached: self.attached(),
            cursor: LogId::new(cursor),
            head: LogId::new(head),
            lag_events,
            lag: self.shared.lag(),
            members: self.shared.members(),
        }
    }

    /// Brings the gauges up to date: attachment, staleness, lag. Called before every scrape.
    pub fn refresh_gauges(&self) {
        let shared = &self.shared;
        let now = shared.clock.now();
        let proven = shared.shards.iter().map(|state| state.view.proven()).min().unwrap_or(Boot::NEVER);
        let remaining = (proven + shared.shortest).since(now);
        let lag: Seq = shared.shards.iter().map(|it| it.head().saturating_sub(it.view.cursor())).sum();
        shared.metrics.attached.set(i64::from(self.attached()));
        shared.metrics.staleness.set(now.since(proven).as_secs_f64());
        shared.metrics.lease_remaining.set(remaining.as_secs_f64());
        shared.metrics.log_lag_events.set(i64::try_from(lag).unwrap_or(i64::MAX));
    }

    pub(super) fn shard(&self, shard: Shard) -> &ShardState {
        self.shared.shard(shard)
    }

    pub(super) fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// This process's name among the members.
    pub fn member(&self) -> &str {
        &self.shared.member
    }

    /// Tells followers that the instance attached or was cut off.
    pub fn note_attachment(&self, attached: bool) {
        // Without followers nobody needs to be told.
        drop(self.shared.notices.send(Notice::Attached(attached)));
    }

    /// A request joined a load too late to use its result.
    pub fn count_joiner_retry(&self) {
        self.shared.metrics.joiner_retries.inc();
    }

    /// A copy was suspected for nothing: another name in its slot was hit.
    pub fn count_false_stale(&self) {
        self.shared.metrics.false_stale.inc();
    }

    /// An event from outside was refused.
    pub fn count_rejected(&self, error: &FormError) {
        self.shared.metrics.count_rejected(reason(error));
    }

    /// An event from outside that was in order was dropped all the same.
    pub(super) fn count_dropped(&self, reason: RejectReason) {
        self.shared.metrics.count_rejected(reason);
    }
}
