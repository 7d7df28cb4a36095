//! Every decision over one shard's state: no I/O, no clock, no lock. What the scripts of the Valkey backend are
//! checked against.
//!
//! Each method is one step at `now`, in milliseconds since 1970. What a step announces waits in
//! [`ShardState::announcements`].

#[cfg(test)]
mod inside;
mod outside;
mod publish;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::arrivals::Arrivals;
use super::expiring::{Expiring, FOREVER};
use super::leases::{self, Leases};
use super::locks::Locks;
use super::queues::{Behind, Queues};
use super::watermarks::Watermarks;
use crate::backend::{
    Arrival, BackendError, Beat, EntryId, Fence, Fill, FillRefusal, Filled, Found, Head, LoadId, LockAsk,
    LockToken, Locked, Logged, Lookup, Member, Put, Signal, Stored, Token,
};
use crate::model::{Hardness, Key, LineageId, Name, Namespace, Nonce, Seq, Shard, Verdict};

/// How long a `request_id` is remembered, in milliseconds.
const REQUEST_MS: u64 = 60_000;
/// Most `request_id`s remembered; beyond it the oldest go.
const REQUESTS_MAX: usize = 100_000;
/// How far a lineage starts above what is known where the clock is not above it, as the scripts have it: more events than
/// others may have heard of.
pub const LEAP: Seq = 1 << 24;
/// By then, in milliseconds, those who are there have said what they know of the lineage before.
const DOUBT_MS: u64 = 2000;
/// What an entry takes beside its bytes, roughly.
const ENTRY_OVERHEAD: usize = 512;

/// What bounds a store's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events kept in each shard's log.
    pub log_max_events: usize,
    /// Names remembered per generation and shard. An event's names stay together, so a generation may exceed it by
    /// those of one event.
    pub watermarks_max: usize,
    /// Bytes that entries may take, over all shards. Beyond it the soonest to expire go first.
    pub entry_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { log_max_events: 200_000, watermarks_max: 500_000, entry_bytes_max: 256 << 20 }
    }
}

/// One shard.
#[derive(Clone, Debug)]
pub struct ShardState {
    shard: Shard,
    limits: Limits,
    ids: Ids,
    /// The current lineage, and the last event's nonce. Begun by the first step that needs it.
    lineage: Option<(LineageId, Nonce)>,
    seq: Seq,
    birth: Birth,
    marks: Watermarks,
    log: VecDeque<Logged>,
    requests: Expiring<String, Token>,
    entries: Expiring<Place, Kept>,
    leases: Leases,
    arrivals: Arrivals,
    locks: Locks,
    queues: Queues,
    /// As many as instances have joined and not been forgotten.
    members: BTreeMap<String, Member>,
    announcements: Vec<Signal>,
}

/// How the current lineage began.
#[derive(Clone, Copy, Debug, Default)]
struct Birth {
    /// In milliseconds since 1970.
    at: u64,
    /// The last number of the lineage before.
    prev: Seq,
    /// Its own first.
    start: Seq,
    /// Of pending writes up to here, newer ones may have been lost.
    lost: Seq,
}

impl Birth {
    /// The one after it.
    fn next(self, at: u64, prev: Seq, start: Seq, known: Seq) -> Self {
        Self { at, prev, start, lost: if prev < known { start } else { self.lost } }
    }

    /// Somebody knows `known`.
    fn heard(&mut self, known: Seq) {
        if self.prev < known && known < self.start {
            self.lost = self.start;
        }
    }

    /// Whether a pending write may have come back with what an older dump held: a newer one of its key may be among what
    /// was lost. It is answered again once its worker has brought it to its origin, which knows.
    fn doubts(&self, now: u64, dirty: Seq) -> bool {
        dirty <= self.start && (dirty <= self.lost || now.abs_diff(self.at) < DOUBT_MS)
    }
}

type Place = (Namespace, u32, Key);

#[derive(Clone, Debug)]
struct Kept {
    stored: Stored,
    fresh_until: u64,
    /// Of a dirty entry.
    behind: Option<Behind>,
}

/// What an entry is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Fresh,
    Stale,
    Void,
}

impl ShardState {
    /// An empty shard. Of shards with the same `seed`, none should ever meet another.
    pub fn new(shard: Shard, limits: Limits, seed: u64) -> Self {
        Self {
            shard,
            limits,
            ids: Ids(seed),
            lineage: None,
            seq: 0,
            birth: Birth::default(),
            marks: Watermarks::default(),
            log: VecDeque::new(),
            requests: Expiring::new(REQUESTS_MAX),
            entries: Expiring::new(limits.entry_bytes_max),
            leases: Leases::new(),
            arrivals: Arrivals::new(),
            locks: Locks::default(),
            queues: Queues::default(),
            members: BTreeMap::new(),
            announcements: Vec::new(),
        }
    }

    /// What the steps so far have to announce, in order.
    pub fn announcements(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.announcements)
    }

    /// See [`crate::backend::Backend::peek`].
    pub fn peek(&self, now: u64, entry: &EntryId) -> Option<Stored> {
        self.entries.get(now, &place(entry)).map(|item| item.value.stored.clone())
    }

    /// See [`crate::backend::Backend::lookup`].
    pub fn lookup(&mut self, now: u64, lookup: &Lookup) -> Found {
        let head = self.token(now, 0);
        let mut stale = None;
        if let Some(item) = self.entries.get(now, &place(&lookup.entry)) {
            let stored = &item.value.stored;
            if stored.dirty.is_some_and(|dirty| self.birth.doubts(now, dirty)) {
                return Found::Doubtful;
            }
            let even_if_fresh = lookup.claim.as_ref().is_some_and(|claim| claim.even_if_fresh);
            match self.standing(now, &head.lineage, &item.value, &lookup.covering) {
                // There is nothing newer to load than a pending write, and what another has loaded need not be.
                Standing::Fresh
                    if even_if_fresh
                        && stored.dirty.is_none()
                        && lookup.have.as_ref().is_none_or(|have| *have == stored.load) => {}
                Standing::Fresh if lookup.have.as_ref() == Some(&stored.load) => {
                    return Found::NotModified(head);
                }
                Standing::Fresh => {
                    return Found::Fresh(Stored { token: head, ..stored.clone() });
                }
                Standing::Stale => stale = Some(stored.clone()),
                Standing::Void => {}
            }
        }
        let Some(claim) = &lookup.claim else { return Found::Nothing { stale } };
        match self.leases.claim(now, lease_place(&lookup.entry), claim, &head) {
            Ok(()) => Found::Leased { token: head, stale },
            Err(left) => Found::Busy { left, stale },
        }
    }

    /// See [`crate::backend::Backend::fill`].
    pub fn fill(&mut self, now: u64, fill: Fill) -> Filled {
        let place = lease_place(&fill.entry);
        // The token is the one that came with the lease, whatever the caller says.
        if fill.leased && self.leases.held(now, &place, &fill.load) != Some(&fill.token) {
            return Filled::Refused(FillRefusal::LeaseLost);
        }
        let refusal = self.refusal(now, &fill);
        if fill.leased {
            self.end_lease(now, place, refusal.is_none());
        }
        if let Some(refusal) = refusal {
            return Filled::Refused(refusal);
        }
        self.store(now, &fill.entry, fill.load, fill.token, fill.put);
        Filled::Stored
    }

    /// See [`crate::backend::Backend::release`].
    pub fn release(&mut self, now: u64, entry: &EntryId, load: &LoadId) {
        let place = lease_place(entry);
        if self.leases.held(now, &place, load).is_some() {
            self.end_lease(now, place, false);
        }
    }

    /// See [`crate::backend::Backend::lease`].
    pub fn lease_left(&self, now: u64, entry: &EntryId) -> Option<(LoadId, Duration)> {
        self.leases.left(now, &lease_place(entry))
    }

    /// See [`crate::backend::Backend::beat`].
    /// A confirmation may have overtaken it: the cursor never goes back.
    pub fn beat(&mut self, now: u64, beat: Beat) -> Head {
        let (lineage, nonce) = self.lineage(now, beat.known).clone();
        let mut member = beat.member;
        if let Some(before) = self.members.get(&member.instance) {
            member.cursor = member.cursor.max(before.cursor);
        }
        self.members.insert(member.instance.clone(), member);
        Head { token: Token { lineage, seq: self.seq }, nonce, time_us: now.saturating_mul(1000), called: 0 }
    }

    /// See [`crate::backend::Backend::confirm`]. A member that is not known stays unknown.
    pub fn confirm(&mut self, instance: &str, cursor: Seq) {
        if let Some(member) = self.members.get_mut(instance) {
            member.cursor = member.cursor.max(cursor);
        }
        let confirmed = Signal::Confirmed { shard: self.shard, instance: instance.to_owned(), cursor };
        self.announcements.push(confirmed);
    }

    /// See [`crate::backend::Backend::head`].
    pub fn head(&mut self, now: u64) -> Token {
        self.token(now, 0)
    }

    /// See [`crate::backend::Backend::read_log`].
    pub fn read_log(&self, after: Seq, max: usize) -> Vec<Logged> {
        let from = self.log.partition_point(|logged| logged.seq <= after);
        self.log.iter().skip(from).take(max).cloned().collect()
    }

    /// See [`crate::backend::Backend::admit`].
    pub fn admit(&mut self, now: u64, arrival: Arrival<'_>) -> Verdict {
        self.arrivals.admit(now, arrival)
    }

    /// See [`crate::backend::Backend::lock`].
    pub fn lock(&mut self, now: u64, ask: LockAsk<'_>) -> Result<Locked, BackendError> {
        let lineage = self.lineage(now, 0).0.clone();
        self.locks.lock(now, &lineage, ask)
    }

    /// See [`crate::backend::Backend::extend`].
    pub fn extend(&mut self, now: u64, name: &Key, token: &LockToken, ttl: Duration) -> Option<Fence> {
        let lineage = self.lineage(now, 0).0.clone();
        self.locks.extend(now, &lineage, name, token, ttl)
    }

    /// See [`crate::backend::Backend::unlock`].
    pub fn unlock(&mut self, now: u64, name: &Key, token: &LockToken) -> bool {
        let (held, wanted) = self.locks.unlock(now, name, token);
        if wanted {
            self.announcements.push(Signal::Unlocked(name.clone()));
        }
        held
    }

    /// See [`crate::backend::Backend::members`].
    pub fn members(&self) -> Vec<Member> {
        self.members.values().cloned().collect()
    }

    /// See [`crate::backend::Backend::forget`].
    pub fn forget(&mut self, instance: &str, beats: Option<u64>) {
        let alive = |member: &Member| beats.is_some_and(|beats| beats < member.beats);
        if !self.members.get(instance).is_some_and(alive) {
            self.members.remove(instance);
        }
    }

    /// The lineage, begun above everything known where there is none, or only one of lower numbers.
    fn lineage(&mut self, now: u64, known: Seq) -> &mut (LineageId, Nonce) {
        let before = if self.lineage.is_some() { self.seq } else { 0 };
        let standing = self.lineage.take().filter(|_| known <= self.seq);
        if standing.is_some() {
            self.birth.heard(known);
        }
        let lineage = standing.unwrap_or_else(|| {
            let (clock, last) = (now.saturating_mul(128), known.max(self.seq));
            // Where the clock went back, nothing else is sure to be above what others have seen.
            let start = if last < clock { clock } else { last.saturating_add(LEAP) };
            self.birth = self.birth.next(now, before, start, known);
            self.begun(start)
        });
        self.lineage.insert(lineage)
    }

    /// A lineage at its start: of the one before, only entries and leases are still there, and void.
    fn begun(&mut self, start: Seq) -> (LineageId, Nonce) {
        self.seq = start;
        self.marks = Watermarks::default();
        self.log.clear();
        self.requests = Expiring::new(REQUESTS_MAX);
        self.members.clear();
        (LineageId::new(&self.ids.next()), Nonce::new(&self.ids.next()))
    }

    fn token(&mut self, now: u64, known: Seq) -> Token {
        let lineage = self.lineage(now, known).0.clone();
        Token { lineage, seq: self.seq }
    }

    fn standing(&self, now: u64, current: &LineageId, kept: &Kept, covering: &[Name]) -> Standing {
        let Stored { token, names, dirty, .. } = &kept.stored;
        let named =
            |hardness| self.marks.named_since(hardness, token.seq, covering.iter().chain(names.iter()));
        if dirty.is_some() {
            Standing::Fresh
        } else if token.lineage != *current || named(Hardness::Hard) {
            Standing::Void
        } else if kept.fresh_until <= now || named(Hardness::Soft) {
            Standing::Stale
        } else {
            Standing::Fresh
        }
    }

    /// Why a load may not store what it brought, apart from its lease.
    fn refusal(&self, now: u64, fill: &Fill) -> Option<FillRefusal> {
        let named = |hardness| {
            let names = fill.covering.iter().chain(&fill.put.names);
            self.marks.named_since(hardness, fill.token.seq, names)
        };
        if self.lineage.as_ref().is_none_or(|(current, _)| fill.token.lineage != *current) {
            Some(FillRefusal::Lineage)
        } else if named(Hardness::Hard) || named(Hardness::Soft) {
            Some(FillRefusal::Stale)
        } else if self.is_dirty(now, &fill.entry) {
            Some(FillRefusal::Dirty)
        } else {
            None
        }
    }

    fn end_lease(&mut self, now: u64, place: leases::Place, filled: bool) {
        if self.leases.end(now, &place) {
            let (namespace, key) = place;
            self.announcements.push(Signal::Wake { namespace, key, filled });
        }
    }

    fn is_dirty(&self, now: u64, entry: &EntryId) -> bool {
        self.entries.get(now, &place(entry)).is_some_and(|item| item.value.stored.dirty.is_some())
    }

    fn store(&mut self, now: u64, entry: &EntryId, load: LoadId, token: Token, put: Put) {
        let names = put.names.iter().map(|name| name.as_str().len()).sum::<usize>();
        let cost = ENTRY_OVERHEAD + entry.namespace.len() + entry.key.len() + names + put.envelope.len();
        let stored = Stored { token, names: put.names, load, envelope: put.envelope, dirty: None };
        let kept = Kept { stored, fresh_until: after(now, put.fresh), behind: None };
        self.entries.insert(now, place(entry), (kept, after(now, put.kept)), cost);
    }
}

fn place(entry: &EntryId) -> Place {
    (entry.namespace.clone(), entry.version, entry.key.clone())
}

fn lease_place(entry: &EntryId) -> leases::Place {
    (entry.namespace.clone(), entry.key.clone())
}

/// The millisecond `by` after `now`, short of [`FOREVER`].
pub(super) fn after(now: u64, by: Duration) -> u64 {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    now.saturating_add(by).min(FOREVER - 1)
}

/// Ids of 16 hexadecimal digits, none twice: `SplitMix64`, whose every state gives another number.
#[derive(Clone, Debug)]
struct Ids(u64);

impl Ids {
    fn next(&mut self) -> String {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!("{:016x}", mixed ^ (mixed >> 31))
    }
}
