//! Reading: L1, then a seat on a load, and the rule of who may use its result.
//!
//! **The joiner's rule.** A request that joins a load already under way may use the result only if nothing of it was read
//! before the request arrived, or if it is valid under a live lease now. Else it starts over. Without this rule even
//! `wait=all` does not hold: the load may have read the origin before the invalidation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::answer::{Answer, Demand, GetError, Via};
use super::copy::Copy;
use super::flight::{Landed, Teller};
use super::freshness::{Joiner, Use, decide};
use super::load::{Load, Peeked, Purpose};
use super::monitor::Monitor;
use super::outcome::{request_result, request_result_of};
use super::space::Space;
use super::waiting::Arrival;
use crate::backend::{Backend, BackendError, LoadId, Token};
use crate::clock::Boot;
use crate::coherence::Coherence;
use crate::coherence::core::{Judgement, Standing};
use crate::model::{Key, LineageId, Seq, Shard};
use crate::mutants;
use crate::supervisor::Supervisor;
use crate::telemetry::labels::{LeaseWait, RequestResult};
use crate::telemetry::{By, Counter, trace};

/// How often a request joins another's load before it makes one of its own outside of all sharing.
const JOINS_MAX: usize = 3;
/// Leases that wait to be given up at once; those beyond run out by themselves.
pub(super) const GIVEN_BACK_MAX: usize = 1024;

/// What reading takes.
pub(super) struct Reader {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) coherence: Arc<Coherence>,
    pub(super) supervisor: Supervisor,
    pub(super) instance: String,
    pub(super) spaces: HashMap<String, Arc<Space>>,
    pub(super) given_back: Arc<Semaphore>,
    pub(super) lease_waits: Arc<By<LeaseWait, Counter>>,
    /// Tells this process's loads from all others of that name.
    pub(super) process: u64,
    pub(super) loads: AtomicU64,
    /// Who follows up what is answered, if anybody does.
    pub(super) monitor: OnceLock<Monitor>,
}

/// What a reader's demand means at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Copies that are valid now are new enough.
    Yes,
    /// They cannot be shown to be: go past them. What L2 proves is, once it has seen this; `None`: nobody knows.
    No(Option<Needed>),
}

/// The part of the log that an answer must have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needed {
    lineage: Option<LineageId>,
    seq: Seq,
}

impl Needed {
    /// Whether what is as new as that token is new enough.
    pub(super) fn seen_by(&self, token: &Token) -> bool {
        self.seq <= token.seq && self.lineage.as_ref().is_none_or(|lineage| *lineage == token.lineage)
    }
}

/// One read.
pub(super) struct Read<'a> {
    pub(super) space: &'a Arc<Space>,
    pub(super) key: &'a Key,
    pub(super) demand: &'a Demand,
    pub(super) shard: Shard,
    pub(super) arrived: Boot,
}

impl Read<'_> {
    fn answered(&self, result: RequestResult, at: Boot) {
        self.space.metrics.answered(result, at.since(self.arrived), self.demand.trace);
    }
}

/// What L1 had to say.
pub(super) enum FromL1 {
    /// The answer, and when the copy was found.
    Answer(Answer, Boot),
    /// A copy that may not be answered, or none.
    Held(Option<Arc<Copy>>),
}

impl Reader {
    pub(super) fn read<'a>(&self, space: &'a Arc<Space>, key: &'a Key, demand: &'a Demand) -> Read<'a> {
        space.heat.note(key);
        let shard = self.coherence.shard_of(space.name(), key);
        Read { space, key, demand, shard, arrived: demand.arrived.unwrap_or_else(|| self.now()) }
    }

    pub(super) async fn get(
        self: &Arc<Self>,
        space: &Arc<Space>,
        key: &Key,
        demand: &Demand,
    ) -> Result<Answer, GetError> {
        let read = self.read(space, key, demand);
        // What most reads never need has its room on the heap.
        let answer = if demand.proof() {
            Box::pin(self.answer(&read)).await
        } else {
            match self.from_l1(&read) {
                FromL1::Answer(answer, at) => {
                    read.answered(request_result(&answer), at);
                    return Ok(answer);
                }
                FromL1::Held(held) => Box::pin(self.past_l1(&read, Reached::Yes, held)).await,
            }
        };
        read.answered(request_result_of(&answer), self.now());
        answer
    }

    pub(super) async fn answer(self: &Arc<Self>, read: &Read<'_>) -> Result<Answer, GetError> {
        let reached = self.reached(read).await;
        let held = if reached == Reached::Yes {
            match self.from_l1(read) {
                FromL1::Answer(answer, _) => return Ok(answer),
                FromL1::Held(held) => held,
            }
        } else {
            None
        };
        self.past_l1(read, reached, held).await
    }

    /// Whether copies that are valid now satisfy the demand: waits for the log where the reader names an event.
    pub(super) async fn reached(&self, read: &Read<'_>) -> Reached {
        if !read.demand.proof() {
            return Reached::Yes;
        }
        let named = read.demand.min.as_ref().and_then(|id| id.seq(read.shard));
        let mut needed = Needed { lineage: None, seq: named.unwrap_or_default() };
        let mut followed = true;
        if read.demand.strict {
            let Ok(head) = self.coherence.barrier(read.shard).await else { return Reached::No(None) };
            followed = self.coherence.stamp(read.shard, &head).is_some();
            needed = Needed { lineage: Some(head.lineage), seq: needed.seq.max(head.seq) };
        }
        if followed && self.coherence.reach(read.shard, needed.seq).await {
            Reached::Yes
        } else {
            Reached::No(Some(needed))
        }
    }

    /// The copy in this process, judged.
    pub(super) fn from_l1(self: &Arc<Self>, read: &Read<'_>) -> FromL1 {
        let found = read.space.l1.find(read.key);
        self.judged(read, found, self.now())
    }

    /// What was found there, judged by what is known a moment later.
    fn judged(self: &Arc<Self>, read: &Read<'_>, found: Option<Arc<Copy>>, now: Boot) -> FromL1 {
        let Some(copy) = found.filter(|copy| !copy.left(now).is_zero()) else { return FromL1::Held(None) };
        let Some(judgement) = self.judge(read.space, read.shard, &copy, now) else {
            return FromL1::Held(Some(copy));
        };
        let (available, lifetime) = (read.space.settings.available, &copy.entry.lifetime);
        let via = match decide(judgement, copy.age(now), lifetime, read.demand, available) {
            Use::Fresh => {
                self.seen(read, &copy);
                self.refresh_ahead(read, &copy, now);
                Via::L1
            }
            Use::Unproven => Via::L1,
            Use::Stale => {
                self.refresh(read, None);
                Via::Stale
            }
            // The origin has just failed: it is not asked for every read.
            Use::OnError if read.space.setbacks.resting(read.key, now) => Via::Stale,
            Use::OnError | Use::No => return FromL1::Held(Some(copy)),
        };
        let (entry, age) = (Arc::clone(&copy.entry), copy.age(now));
        FromL1::Answer(Answer { entry, age, via, detached: !judgement.leased }, now)
    }

    async fn past_l1(
        self: &Arc<Self>,
        read: &Read<'_>,
        reached: Reached,
        held: Option<Arc<Copy>>,
    ) -> Result<Answer, GetError> {
        if read.demand.only_if_cached {
            return self.only_cached(read, reached, held).await;
        }
        if read.space.settings.origin.is_none() {
            return self.aside(read, reached, held).await;
        }
        let afresh = reached != Reached::Yes || read.demand.no_cache;
        let mut purpose = if afresh { Purpose::Afresh } else { Purpose::Miss };
        let mut peeked = if afresh { None } else { self.plain(read, held.as_deref()).await };
        if let Some(Ok(Peeked::Landed(landed))) = &peeked {
            if self.satisfies(read, landed) {
                return Ok(self.landed(read, landed, landed.via));
            }
            (purpose, peeked) = (Purpose::Afresh, None);
        }
        for _ in 0..JOINS_MAX {
            let load =
                Load { peeked: peeked.take(), ..self.load(read.space, read.key, purpose, held.clone()) };
            let load = |teller: Arc<Teller>| async move { load.run(&teller).await };
            let seat = read.space.flights.board(&self.supervisor, read.key.shared(), load);
            let mine = seat.mine;
            let landed = match self.wait(read, &reached, held.as_deref(), seat).await {
                Ok(Arrival::Landed(landed)) => landed,
                Ok(Arrival::Stale(answer)) => return Ok(answer),
                Err(GetError::Unavailable(_)) if !mine => continue,
                Err(error) => return Err(error),
            };
            if !mine && !self.joiner_may_use(read, purpose, &landed) {
                self.coherence.count_joiner_retry();
            } else if self.satisfies(read, &landed) {
                let collapsed = !mine && matches!(landed.via, Via::Origin { .. });
                return Ok(self.landed(read, &landed, if collapsed { Via::Collapsed } else { landed.via }));
            } else {
                purpose = Purpose::Afresh;
            }
        }
        let load = self.load(read.space, read.key, Purpose::Afresh, held);
        let landed = load.run(&Teller::default()).await?;
        Ok(self.landed(read, &landed, landed.via))
    }

    /// What L2 says to the request itself: of what is there, most needs no load. Not where one is under way, and not for who
    /// has something to fall back on, for `wait` knows when.
    async fn plain(
        self: &Arc<Self>,
        read: &Read<'_>,
        held: Option<&Copy>,
    ) -> Option<Result<Peeked, BackendError>> {
        if held.is_some() || read.space.flights.has(read.key) {
            return None;
        }
        let load = self.load(read.space, read.key, Purpose::Miss, None);
        if load.leased() { Some(load.peek().await) } else { None }
    }

    /// Whether a copy that may be answered is what this reader asked for. What the origin has just said always is.
    fn satisfies(&self, read: &Read<'_>, landed: &Landed) -> bool {
        let demand = read.demand;
        let young = || demand.max_age.is_none_or(|max| landed.copy.age(self.now()) <= max);
        match landed.via {
            Via::L1 | Via::L2 | Via::PendingWrite => young() && self.proven(read, &landed.copy),
            Via::Stale => young() && !demand.proof(),
            Via::Origin { .. } | Via::TooLarge | Via::Collapsed | Via::Bypass => true,
        }
    }

    /// Whether a copy from L2 is as new as the demand asks, by what this instance has applied: it has reached that far,
    /// while a primary that was replaced still answers whoever only reads.
    pub(super) fn proven(&self, read: &Read<'_>, copy: &Copy) -> bool {
        let judgement = || self.judge(read.space, read.shard, copy, self.now());
        !read.demand.proof() || judgement().is_some_and(|judged| judged.standing == Standing::Valid)
    }

    pub(super) fn joiner_may_use(&self, read: &Read<'_>, purpose: Purpose, landed: &Landed) -> bool {
        if mutants::JOINERS_UNFENCED {
            return true;
        }
        let joiner = Joiner { arrived: read.arrived, purpose, demand: read.demand };
        joiner.may_use(landed.via, landed.read_began, || {
            let now = self.now();
            let judgement = self.judge(read.space, read.shard, &landed.copy, now)?;
            let (age, lifetime) = (landed.copy.age(now), &landed.copy.entry.lifetime);
            Some(decide(judgement, age, lifetime, read.demand, false))
        })
    }

    fn landed(&self, read: &Read<'_>, landed: &Landed, via: Via) -> Answer {
        let detached = !self.coherence.leased(read.shard, read.space.settings.max_staleness);
        let Landed { copy, .. } = landed;
        if via == Via::L2 {
            self.refresh_ahead(read, copy, self.now());
        }
        if !detached && matches!(via, Via::L2 | Via::Collapsed) {
            self.seen(read, copy);
        }
        Answer { entry: Arc::clone(&copy.entry), age: copy.age(self.now()), via, detached }
    }

    /// L2 without a claim, and never the origin.
    async fn only_cached(
        self: &Arc<Self>,
        read: &Read<'_>,
        reached: Reached,
        held: Option<Arc<Copy>>,
    ) -> Result<Answer, GetError> {
        // A primary that lost its replicas refuses heartbeats and still answers whoever only reads.
        if reached != Reached::Yes || !self.coherence.leased(read.shard, read.space.settings.max_staleness) {
            return Err(GetError::NotCached);
        }
        let found = self.load(read.space, read.key, Purpose::Miss, held).look().await;
        let (landed, standing) = found.ok_or(GetError::NotCached)?;
        let (age, lifetime) = (landed.copy.age(self.now()), landed.copy.entry.lifetime);
        let judgement = Judgement { leased: true, standing };
        match decide(judgement, age, &lifetime, read.demand, false) {
            Use::Fresh | Use::Stale if self.proven(read, &landed.copy) => {
                Ok(self.landed(read, &landed, landed.via))
            }
            Use::Fresh | Use::Stale | Use::Unproven | Use::OnError | Use::No => Err(GetError::NotCached),
        }
    }

    /// What a copy may be used for; `None` without a stamp, for then nothing is known. The clock was read after the copy
    /// was found.
    pub(super) fn judge(&self, space: &Space, shard: Shard, copy: &Copy, now: Boot) -> Option<Judgement> {
        let stamp = copy.stamp?;
        Some(self.coherence.view(shard).judge(stamp, &copy.slots, now, space.settings.max_staleness))
    }

    pub(super) fn load(
        self: &Arc<Self>,
        space: &Arc<Space>,
        key: &Key,
        purpose: Purpose,
        held: Option<Arc<Copy>>,
    ) -> Load {
        let (reader, space, key) = (Arc::clone(self), Arc::clone(space), key.clone());
        Load {
            reader,
            space,
            key,
            purpose,
            held,
            ahead: None,
            peeked: None,
            id: self.load_id(),
            on_behalf: trace::current(),
        }
    }

    pub(super) fn load_id(&self) -> LoadId {
        LoadId::new(&self.instance, self.process, self.loads.fetch_add(1, Relaxed))
    }

    /// Every key: L1, then one plain round trip to L2 for all the rest, then loads side by side.
    pub(super) async fn get_many(
        self: &Arc<Self>,
        space: &Arc<Space>,
        keys: &[Key],
        demand: &Demand,
    ) -> Vec<Result<Answer, GetError>> {
        let reads: Vec<Read<'_>> = keys.iter().map(|key| self.read(space, key, demand)).collect();
        // None: all of them are.
        let reached = if demand.proof() {
            Some(join_all(reads.iter().map(|read| self.reached(read))).await)
        } else {
            None
        };
        let reached = |place: usize| reached.as_ref().map_or(&Reached::Yes, |reached| &reached[place]);
        let mut answers: Vec<Option<Result<Answer, GetError>>> = Vec::with_capacity(reads.len());
        let mut asked = Vec::new();
        let mut held = HashMap::new();
        let find = |(place, read): (usize, &Read<'_>)| {
            (*reached(place) == Reached::Yes).then(|| read.space.l1.find(read.key))
        };
        let found: Vec<Option<Option<Arc<Copy>>>> = reads.iter().enumerate().map(find).collect();
        let now = self.now();
        for (place, (read, found)) in reads.iter().zip(found).enumerate() {
            answers.push(None);
            let Some(found) = found else { continue };
            match self.judged(read, found, now) {
                FromL1::Answer(answer, _) => answers[place] = Some(Ok(answer)),
                FromL1::Held(copy) => {
                    held.insert(place, copy);
                    asked.push(place);
                }
            }
        }
        self.peek_many(&reads, &asked, demand, &mut answers).await;
        let rest = answers.iter().enumerate().filter(|(_, it)| it.is_none()).map(|(place, _)| place);
        let rest: Vec<usize> = rest.collect();
        let loads = rest.iter().map(|place| {
            let held = held.get(place).cloned().flatten();
            self.past_l1(&reads[*place], reached(*place).clone(), held)
        });
        let loaded = join_all(loads).await;
        for (place, answer) in rest.into_iter().zip(loaded) {
            answers[place] = Some(answer);
        }
        let answers = answers.into_iter().map(|it| it.unwrap_or(Err(GetError::NotCached)));
        let answers: Vec<_> = answers.collect();
        let now = self.now();
        for (read, answer) in reads.iter().zip(&answers) {
            read.answered(request_result_of(answer), now);
        }
        answers
    }

    async fn peek_many(
        self: &Arc<Self>,
        reads: &[Read<'_>],
        asked: &[usize],
        demand: &Demand,
        answers: &mut [Option<Result<Answer, GetError>>],
    ) {
        if asked.is_empty() || demand.no_cache {
            return;
        }
        let read_began = self.now();
        let entries: Vec<_> =
            asked.iter().map(|place| reads[*place].space.entry(reads[*place].key)).collect();
        let Ok(found) = self.backend.peek(&entries).await else { return };
        for (place, stored) in asked.iter().zip(found) {
            let read = &reads[*place];
            let load = self.load(read.space, read.key, Purpose::Miss, None);
            let landed = stored.and_then(|stored| load.peeked(&stored, read_began));
            if let Some(landed) = landed.filter(|landed| self.satisfies(read, landed)) {
                answers[*place] = Some(Ok(self.landed(read, &landed, landed.via)));
            }
        }
    }

    pub(super) fn count_wait(&self, outcome: LeaseWait) {
        self.lease_waits.of(outcome).inc();
    }

    pub(super) fn count_false_stale(&self) {
        self.coherence.count_false_stale();
    }

    pub(super) fn now(&self) -> Boot {
        self.coherence.clock().now()
    }
}
