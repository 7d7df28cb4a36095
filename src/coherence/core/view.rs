//! What this instance knows of one shard: read by every L1 hit, written by the shard's follower.
//!
//! **The order of loads is part of the protocol.** A hit reads the entry, then the clock, then the lease, then lineage,
//! floor and watermarks. Applying stores watermarks, then the cursor, and only then is the lease renewed. So a lease seen
//! as renewed implies that every event it proves is visible. The other way round, a pause between the two loads would
//! let a read that started after an acknowledged invalidation answer with what it made stale.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::sync::{Acquire, AtomicU32, AtomicU64, Release, Swap};
use crate::backend::Token;
use crate::clock::Boot;
use crate::model::{Event, Hardness, LineageId, Name, Seq, Target, widen};
use crate::mutants;

/// Where a value stands in the history this instance has followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which of the lineages that this process has followed, counted from 1.
    epoch: NonZeroU32,
    /// The last event the value has seen.
    seq: Seq,
}

impl Stamp {
    /// The last event the value has seen.
    pub fn seq(self) -> Seq {
        self.seq
    }

    /// Both count in the same lineage, so that their numbers can be compared.
    pub fn same_history(self, other: Self) -> bool {
        self.epoch == other.epoch
    }
}

/// The places of an entry's names in the watermark table, worked out once per entry. Most keys have two, their own and
/// their namespace's, for which there is no memory beside this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots(Hashes);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hashes {
    Two([u32; 2]),
    Many(Box<[u32]>),
}

impl Slots {
    /// Of these names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a Name>) -> Self {
        let many: Vec<u32> = names.into_iter().map(hash).collect();
        Self(many.as_slice().try_into().map_or_else(|_| Hashes::Many(many.as_slice().into()), Hashes::Two))
    }

    fn hashes(&self) -> &[u32] {
        match &self.0 {
            Hashes::Two(two) => two,
            Hashes::Many(many) => many,
        }
    }

    /// Bytes held beside the struct itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Hashes::Two(_) => 0,
            Hashes::Many(many) => size_of_val(&**many),
        }
    }
}

/// As much of it as a table of less than 2^32 places has a use for.
fn hash(name: &Name) -> u32 {
    let [a, b, c, d, ..] = xxh3_64(name.as_str().as_bytes()).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// What is known against a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Valid,
    /// A soft event: it may be answered while a load runs, where stale answers are allowed.
    Soft,
    /// A hard event, or another lineage: it is never answered.
    Invalid,
}

/// What a copy may be used for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The instance has proof, not older than `max_staleness`, that it has seen the log.
    pub leased: bool,
    /// What is known against the copy.
    pub standing: Standing,
}

impl Judgement {
    /// It may be answered as if it had just been read.
    pub fn valid(self) -> bool {
        self.leased && self.standing == Standing::Valid
    }
}

/// One shard, as this instance knows it.
pub struct View {
    /// Sending time of the last heartbeat whose head has been reached, in boot nanoseconds; 0: none.
    proven: AtomicU64,
    epoch: AtomicU32,
    floor: AtomicU64,
    soft_floor: AtomicU64,
    cursor: AtomicU64,
    /// The largest number of any soft event: copies at least as new skip the soft table.
    softest: AtomicU64,
    /// Per slot the largest number of any event that named a name in it. A collision invalidates too much, never too
    /// little.
    hard: Box<[AtomicU64]>,
    soft: Box<[AtomicU64]>,
    lineage: Swap<(LineageId, u32)>,
}

impl View {
    /// A view with `slots` places for names, rounded up to a power of two. Nothing is valid until [`View::begin`].
    pub fn new(slots: usize) -> Self {
        // Zeros as the system gives them, taken over in place: what nothing was written to takes no memory, and most of a
        // table stays so for long. Collected into a slice at once they would be written.
        let table = || {
            let zeros = vec![0; slots.next_power_of_two()];
            zeros.into_iter().map(AtomicU64::new).collect::<Vec<_>>().into_boxed_slice()
        };
        Self {
            proven: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            floor: AtomicU64::new(0),
            soft_floor: AtomicU64::new(0),
            cursor: AtomicU64::new(0),
            softest: AtomicU64::new(0),
            hard: table(),
            soft: table(),
            lineage: Swap::empty(),
        }
    }

    /// What a copy may be used for. `now` is read after the copy was found and before this call.
    pub fn judge(&self, stamp: Stamp, slots: &Slots, now: Boot, max_staleness: Duration) -> Judgement {
        let leased = self.leased(now, max_staleness);
        Judgement { leased, standing: self.standing(stamp, slots) }
    }

    /// Whether the instance may trust its copies at `now`.
    pub fn leased(&self, now: Boot, max_staleness: Duration) -> bool {
        let proven = self.proven.load(Acquire);
        proven != 0 && now.since(Boot::from_nanos(proven)) < max_staleness
    }

    fn standing(&self, stamp: Stamp, slots: &Slots) -> Standing {
        // The floor before the epoch: a floor that another lineage has lowered is never taken for this copy's own.
        let floor = self.floor.load(Acquire);
        if stamp.epoch.get() != self.epoch.load(Acquire) || stamp.seq < floor {
            return Standing::Invalid;
        }
        let newer = |table: &[AtomicU64]| {
            slots.hashes().iter().any(|hash| stamp.seq < table[slot(*hash, table.len())].load(Acquire))
        };
        if newer(&self.hard) {
            return Standing::Invalid;
        }
        if stamp.seq < self.softest.load(Acquire)
            && (stamp.seq < self.soft_floor.load(Acquire) || newer(&self.soft))
        {
            return Standing::Soft;
        }
        Standing::Valid
    }

    /// The stamp of a token, if its lineage is the one followed now.
    pub fn stamp(&self, token: &Token) -> Option<Stamp> {
        let lineage = self.lineage.load();
        let (id, epoch) = &**lineage.as_ref()?;
        let seq = if mutants::L1_UNCHECKED { self.cursor() } else { token.seq };
        (*id == token.lineage).then_some(Stamp { epoch: NonZeroU32::new(*epoch)?, seq })
    }

    /// The largest numbers of a hard and of a soft event that named one of these; those that named everything count.
    pub fn newest(&self, slots: &Slots) -> (Seq, Seq) {
        let newest = |table: &[AtomicU64], floor: &AtomicU64| {
            let marks = slots.hashes().iter().map(|hash| table[slot(*hash, table.len())].load(Acquire));
            marks.fold(floor.load(Acquire), Seq::max)
        };
        (newest(&self.hard, &self.floor), newest(&self.soft, &self.soft_floor))
    }

    /// The lineage followed now.
    pub fn lineage(&self) -> Option<LineageId> {
        self.lineage.load().as_ref().map(|followed| followed.0.clone())
    }

    /// The place in the log that is reached.
    pub fn place(&self) -> Option<Token> {
        // Of a lineage that has just begun the number is another one's: such a place is nobody's.
        let lineage = self.lineage()?;
        Some(Token { lineage, seq: self.cursor() })
    }

    /// The last event applied.
    pub fn cursor(&self) -> Seq {
        self.cursor.load(Acquire)
    }

    /// When the last proof was sent for; [`Boot::NEVER`] without one.
    pub fn proven(&self) -> Boot {
        Boot::from_nanos(self.proven.load(Acquire))
    }

    /// Follows a lineage from `head` on: everything held so far is invalid, at once and for good.
    ///
    /// The epoch before the floor, which may fall: see `View::standing`. The lineage last: no copy bears its stamp
    /// before its floor is there.
    pub fn begin(&self, lineage: LineageId, head: Seq) {
        self.proven.store(0, Release);
        let epoch = self.epoch.load(Acquire) + 1;
        self.epoch.store(epoch, Release);
        self.floor.store(head, Release);
        self.cursor.store(head, Release);
        self.lineage.store(Some(Arc::new((lineage, epoch))));
    }

    /// Events up to `head` can no longer be read: copies older than that are asked about again.
    pub fn skip(&self, head: Seq) {
        self.floor.fetch_max(head, Release);
        self.cursor.store(head, Release);
    }

    /// Marks what an event names. May be done early and again: a mark only ever rises.
    pub fn mark(&self, seq: Seq, event: &Event) {
        let soft = event.hardness == Hardness::Soft;
        let (table, floor) = if soft { (&self.soft, &self.soft_floor) } else { (&self.hard, &self.floor) };
        if soft {
            self.softest.fetch_max(seq, Release);
        }
        for target in &event.targets {
            match name_of(target) {
                Some(name) => table[slot(hash(&name), table.len())].fetch_max(seq, Release),
                None => floor.fetch_max(seq, Release),
            };
        }
    }

    /// Every event up to `seq` is marked.
    pub fn advance(&self, seq: Seq) {
        self.cursor.store(seq, Release);
    }

    /// The cursor has reached the head of a heartbeat that was sent at `sent`.
    pub fn prove(&self, sent: Boot) {
        self.proven.fetch_max(sent.as_nanos(), Release);
    }
}

fn slot(hash: u32, len: usize) -> usize {
    // The table's length is a power of two.
    usize::try_from(hash).unwrap_or(0) & (len - 1)
}

/// The name an event's target stands for; `None` is everything.
pub(crate) fn name_of(target: &Target) -> Option<Name> {
    match target {
        Target::Key(namespace, key) => Some(Name::key(namespace, key)),
        Target::Prefix(namespace, prefix) => Some(match widen(prefix) {
            Some(boundary) => Name::prefix(namespace, boundary),
            None => Name::namespace(namespace),
        }),
        Target::Namespace(namespace) => Some(Name::namespace(namespace)),
        Target::Tag(tag) => Some(Name::tag(tag)),
        Target::All => None,
    }
}

#[cfg(test)]
impl Clone for View {
    fn clone(&self) -> Self {
        let number = |it: &AtomicU64| AtomicU64::new(it.load(Acquire));
        let view = Self {
            proven: number(&self.proven),
            epoch: AtomicU32::new(self.epoch.load(Acquire)),
            floor: number(&self.floor),
            soft_floor: number(&self.soft_floor),
            cursor: number(&self.cursor),
            softest: number(&self.softest),
            hard: self.hard.iter().map(number).collect(),
            soft: self.soft.iter().map(number).collect(),
            lineage: Swap::empty(),
        };
        view.lineage.store(self.lineage.load().clone());
        view
    }
}

#[cfg(test)]
impl View {
    /// What decides of copies from here on, but for the lineage and its proof: cursor, floors, watermarks.
    pub(crate) fn numbers(&self) -> Vec<Seq> {
        let single = [&self.cursor, &self.floor, &self.soft_floor, &self.softest];
        single.into_iter().chain(&self.hard).chain(&self.soft).map(|it| it.load(Acquire)).collect()
    }
}
