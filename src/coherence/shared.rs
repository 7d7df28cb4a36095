//! What the room's tasks and its face share. Each field has one writer; the rest read.

use std::collections::HashMap;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};
use xxhash_rust::xxh3::xxh3_64;

use super::came::Came;
use super::core::View;
use super::recent::Recent;
use super::server_clock::ServerClock;
use super::vouch::Left;
use super::wakes::{Ended, Wakes};
use super::{MemberStatus, Notice};
use crate::backend::{Backend, EntryId, Logged, Member, Partition, Token};
use crate::clock::{Boot, Clock};
use crate::model::{Key, LineageId, Namespace, Seq, Shard, ShardCount};
use crate::telemetry::CoherenceMetrics;
use crate::telemetry::trace::Tracer;

/// Notices a slow follower of `/events` may be behind before it loses some.
const NOTICES_MAX: usize = 4096;

/// One shard's part.
pub(super) struct ShardState {
    /// What the read path asks.
    pub(super) view: View,
    /// When its last events were applied.
    pub(super) recent: Recent,
    /// How they came here.
    pub(super) came: Came,
    /// Told after every event applied, for readers that wait for one.
    pub(super) moved: Notify,
    /// Ask the heartbeat to beat at once.
    pub(super) kick: Notify,
    /// The highest event that a member was asked to confirm.
    pub(super) to_confirm: watch::Sender<Seq>,
    /// The highest number ever seen, in any lineage.
    known: AtomicU64,
    followed: Mutex<Option<Followed>>,
    /// Its server's.
    pub(super) server_clock: ServerClock,
}

/// The lineage that is followed.
struct Followed {
    lineage: LineageId,
    since: Boot,
    /// The last event it is known to have.
    head: Seq,
}

/// The room's state.
pub(super) struct Shared {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<CoherenceMetrics>,
    pub(super) tracer: Tracer,
    /// This process's name among the members: unique even if two processes share an `instance.id`.
    pub(super) member: String,
    /// The shortest `max_staleness` of any namespace: how often there must be proof.
    pub(super) shortest: Duration,
    /// The longest: how long a publisher waits at the most.
    pub(super) longest: Duration,
    pub(super) shards: Box<[ShardState]>,
    pub(super) wakes: Wakes<(Namespace, Key), Ended>,
    pub(super) unlocks: Wakes<Key, ()>,
    pub(super) work: Wakes<(Shard, Partition), ()>,
    pub(super) notices: broadcast::Sender<Notice>,
    /// How long the last applied event took to get here, in microseconds.
    lag_us: AtomicU64,
    confirmed: Mutex<HashMap<(Shard, String), Seq>>,
    /// Told after every confirmation.
    pub(super) confirmations: Notify,
    members: Mutex<Vec<MemberStatus>>,
    /// There is a live subscription.
    pub(super) subscribed: AtomicBool,
    /// Who wants to see some of the events applied.
    pub(super) sample: OnceLock<Sample>,
    /// Who tells what was seen in lineages that have ended; without it nothing is remembered.
    pub(super) left: OnceLock<mpsc::Sender<Left>>,
    /// Who wants to hear of changes of entries.
    pub(super) touched: OnceLock<Touching>,
}

/// Where changes of entries are told.
pub(super) struct Touching {
    some: mpsc::Sender<Vec<EntryId>>,
    any: Arc<Notify>,
}

impl Touching {
    pub(super) fn new(max: usize) -> (Self, Touches) {
        let ((some, receiver), any) = (mpsc::channel(max), Arc::<Notify>::default());
        (Self { some, any: Arc::clone(&any) }, Touches { some: receiver, any })
    }

    /// These, or nobody knows which; those that find no room are among the latter.
    pub(super) fn tell(&self, entries: Option<Vec<EntryId>>) {
        if entries.is_none_or(|entries| self.some.try_send(entries).is_err()) {
            self.any.notify_one();
        }
    }
}

/// Changes of entries, as they are heard of.
#[derive(Debug)]
pub struct Touches {
    some: mpsc::Receiver<Vec<EntryId>>,
    any: Arc<Notify>,
}

impl Touches {
    /// The next; `None`: any entry may have been changed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<EntryId>> {
        tokio::select! {
            biased;
            () = self.any.notified() => None,
            some = self.some.recv() => some,
        }
    }
}

/// A share of the events applied, the same for all instances, as many as somebody takes.
pub(super) struct Sample {
    threshold: u64,
    to: mpsc::Sender<(Shard, Logged)>,
}

impl Sample {
    pub(super) fn new(threshold: u64, to: mpsc::Sender<(Shard, Logged)>) -> Self {
        Self { threshold, to }
    }

    pub(super) fn offer(&self, shard: Shard, logged: &Logged) {
        if xxh3_64(&logged.seq.to_be_bytes()) < self.threshold
            && let Ok(room) = self.to.try_reserve()
        {
            room.send((shard, logged.clone()));
        }
    }
}

impl Shared {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        clock: Clock,
        (metrics, tracer): (Arc<CoherenceMetrics>, Tracer),
        member: String,
        staleness: (Duration, Duration),
        slots: usize,
        recent: Duration,
    ) -> Self {
        let count = backend.shards();
        let shard = |_| ShardState {
            view: View::new(slots / usize::from(count.get()).next_power_of_two()),
            recent: Recent::new(recent),
            came: Came::default(),
            moved: Notify::new(),
            kick: Notify::new(),
            to_confirm: watch::Sender::new(0),
            known: AtomicU64::new(0),
            followed: Mutex::new(None),
            server_clock: ServerClock::default(),
        };
        Self {
            shards: count.all().map(shard).collect(),
            backend,
            clock,
            metrics,
            tracer,
            member,
            shortest: staleness.0,
            longest: staleness.1,
            wakes: Wakes::default(),
            unlocks: Wakes::default(),
            work: Wakes::default(),
            notices: broadcast::Sender::new(NOTICES_MAX),
            lag_us: AtomicU64::new(0),
            confirmed: Mutex::default(),
            confirmations: Notify::new(),
            members: Mutex::default(),
            subscribed: AtomicBool::new(false),
            sample: OnceLock::new(),
            left: OnceLock::new(),
            touched: OnceLock::new(),
        }
    }

    pub(super) fn count(&self) -> ShardCount {
        self.backend.shards()
    }

    pub(super) fn shard(&self, shard: Shard) -> &ShardState {
        &self.shards[usize::from(shard.0)]
    }

    /// The server's clock at `now`, in milliseconds since 1970, as far as this machine knows: the first shard's, so that
    /// all instances mean the same one.
    pub(super) fn server_ms(&self, now: Boot) -> u64 {
        self.shards[0].server_clock.micros(now) / 1000
    }

    /// Records and says how long an event took that was here at `now`, by the clock of the server that logged it.
    pub(super) fn observe_lag(&self, shard: Shard, logged: &Logged, now: Boot) -> Duration {
        let here = self.shard(shard).server_clock.micros(now);
        let lag = Duration::from_micros(here.saturating_sub(logged.at_us));
        self.lag_us.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.metrics.lag.observe(lag.as_secs_f64(), logged.event.provenance.trace.map(|it| it.trace));
        lag
    }

    pub(super) fn lag(&self) -> Duration {
        Duration::from_micros(self.lag_us.load(Relaxed))
    }

    /// A member has come so far.
    pub(super) fn confirm(&self, shard: Shard, instance: String, cursor: Seq) {
        let mut confirmed = lock(&self.confirmed);
        let entry = confirmed.entry((shard, instance)).or_default();
        *entry = cursor.max(*entry);
        drop(confirmed);
        self.confirmations.notify_waiters();
    }

    /// How far a member is known to have come.
    pub(super) fn confirmed(&self, shard: Shard, instance: &str) -> Seq {
        if instance == self.member {
            return self.shard(shard).view.cursor();
        }
        lock(&self.confirmed).get(&(shard, instance.to_owned())).copied().unwrap_or(0)
    }

    /// Takes over the members as they were read, and forgets what was confirmed by others.
    pub(super) fn set_members(&self, members: Vec<MemberStatus>, names: &[Member]) {
        lock(&self.confirmed).retain(|(_, name), _| names.iter().any(|member| member.instance == *name));
        *lock(&self.members) = members;
    }

    pub(super) fn members(&self) -> Vec<MemberStatus> {
        lock(&self.members).clone()
    }

    /// All shards have a live lease, even for the strictest namespace.
    pub(super) fn attached(&self) -> bool {
        self.shards.iter().all(|shard| shard.view.leased(self.clock.now(), self.shortest))
    }
}

impl ShardState {
    /// The highest number ever seen.
    pub(super) fn known(&self) -> Seq {
        self.known.load(Acquire)
    }

    /// An event was applied.
    pub(super) fn learn(&self, seq: Seq) {
        self.known.fetch_max(seq, AcqRel);
    }

    /// The log has come so far.
    pub(super) fn learn_head(&self, head: &Token) {
        self.learn(head.seq);
        if let Some(followed) = lock(&self.followed).as_mut().filter(|it| it.lineage == head.lineage) {
            followed.head = head.seq.max(followed.head);
        }
    }

    /// The last event that the lineage followed is known to have: not [`Self::known`], which may be of another one.
    pub(super) fn head(&self) -> Seq {
        let cursor = self.view.cursor();
        lock(&self.followed).as_ref().map_or(cursor, |followed| followed.head.max(cursor))
    }

    /// Since when `lineage` has been followed.
    pub(super) fn followed_since(&self, lineage: &LineageId) -> Option<Boot> {
        let followed = lock(&self.followed);
        followed.as_ref().filter(|it| it.lineage == *lineage).map(|it| it.since)
    }

    pub(super) fn follow(&self, head: &Token, since: Boot) {
        *lock(&self.followed) = Some(Followed { lineage: head.lineage.clone(), since, head: head.seq });
    }
}

/// A poisoned lock's data is whole: nothing here panics between two changes that belong together.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
