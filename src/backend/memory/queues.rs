//! The queues of writes behind, as the scripts of the Valkey backend keep them in streams. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backend::{Dead, EntryId, Leave, Partition, Token, WORKERS_MAX};

/// The id of a line: the millisecond in which it came, and which of those.
pub(super) type LineId = (u64, u64);

/// What a dirty entry knows of its write.
#[derive(Clone, Debug, Default)]
pub(super) struct Behind {
    pub(super) attempts: u32,
    pub(super) since: u64,
    /// For how long it is fresh and kept once the origin has it.
    pub(super) fresh: Duration,
    pub(super) kept: Duration,
    /// The line that is parked.
    pub(super) parked: Option<(Partition, LineId)>,
    pub(super) error: Option<String>,
}

/// What is to do.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) entry: EntryId,
    /// Where the write's event stands.
    pub(super) token: Token,
}

/// All queues of a shard, and its dead letters.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    filed: BTreeMap<Partition, Queue>,
    dead: BTreeMap<LineId, Dead>,
    last: LineId,
    /// When each of those that bring writes to their origins looked last.
    workers: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    lines: BTreeMap<LineId, Line>,
    /// The last line that was delivered.
    delivered: LineId,
    /// Delivered and not settled: since when.
    taken: BTreeMap<LineId, u64>,
    /// When each is due.
    parked: BTreeMap<LineId, u64>,
    owner: Option<Owner>,
}

#[derive(Clone, Debug)]
struct Owner {
    worker: String,
    until: u64,
    /// It has taken all there was and waits to be told.
    waits: bool,
}

impl Queues {
    fn next_id(&mut self, now: u64) -> LineId {
        self.last = if self.last.0 < now { (now, 0) } else { (self.last.0, self.last.1 + 1) };
        self.last
    }

    fn of(&mut self, partition: Partition) -> &mut Queue {
        self.filed.entry(partition).or_default()
    }

    pub(super) fn lines(&self, partition: Partition) -> u64 {
        self.filed.get(&partition).map_or(0, |queue| queue.lines.len() as u64)
    }

    pub(super) fn append(&mut self, now: u64, partition: Partition, entry: EntryId, token: Token) -> LineId {
        let id = self.next_id(now);
        self.of(partition).lines.insert(id, Line { entry, token });
        id
    }

    pub(super) fn line(&self, partition: Partition, id: LineId) -> Option<&Line> {
        self.filed.get(&partition)?.lines.get(&id)
    }

    /// Oldest first.
    pub(super) fn each_line(&self, partition: Partition) -> impl Iterator<Item = (&LineId, &Line)> {
        self.filed.get(&partition).into_iter().flat_map(|queue| &queue.lines)
    }

    /// Done with.
    pub(super) fn drop_line(&mut self, partition: Partition, id: LineId) {
        let queue = self.of(partition);
        queue.lines.remove(&id);
        queue.taken.remove(&id);
        queue.parked.remove(&id);
    }

    pub(super) fn park(&mut self, partition: Partition, id: LineId, due: u64) {
        let queue = self.of(partition);
        queue.taken.remove(&id);
        queue.parked.insert(id, due);
    }

    /// When it was due.
    pub(super) fn unpark(&mut self, partition: Partition, id: LineId) -> Option<u64> {
        self.of(partition).parked.remove(&id)
    }

    pub(super) fn due(&self, partition: Partition, id: LineId) -> Option<u64> {
        self.filed.get(&partition)?.parked.get(&id).copied()
    }

    /// No longer in hand: it is parked.
    pub(super) fn untake(&mut self, partition: Partition, id: LineId) {
        self.of(partition).taken.remove(&id);
    }

    /// Parked lines that are due by `now`, or only after `late`, soonest first.
    pub(super) fn all_due(&self, partition: Partition, now: u64, late: u64, max: usize) -> Vec<LineId> {
        let Some(queue) = self.filed.get(&partition) else { return Vec::new() };
        let mut due: Vec<(u64, LineId)> = queue.parked.iter().map(|(id, due)| (*due, *id)).collect();
        due.sort_unstable();
        let ids = |from: fn(u64, u64, u64) -> bool| {
            due.iter().filter(move |(due, _)| from(*due, now, late)).map(|(_, id)| *id).take(max)
        };
        ids(|due, now, _| due <= now).chain(ids(|due, _, late| late <= due)).collect()
    }

    /// When the next is due.
    pub(super) fn next_due(&self, partition: Partition) -> Option<u64> {
        self.filed.get(&partition)?.parked.values().min().copied()
    }

    /// Delivered for longer than `idle` and not settled, oldest first; from now on they count from now.
    pub(super) fn adopt(
        &mut self,
        now: u64,
        partition: Partition,
        idle: Duration,
        max: usize,
    ) -> Vec<LineId> {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let queue = self.of(partition);
        let old = queue.taken.iter_mut().filter(|(_, since)| idle <= now.saturating_sub(**since)).take(max);
        old.map(|(id, since)| {
            *since = now;
            *id
        })
        .collect()
    }

    /// The next that nobody has taken yet.
    pub(super) fn deliver(&mut self, now: u64, partition: Partition, max: usize) -> Vec<LineId> {
        let queue = self.of(partition);
        let from = (std::ops::Bound::Excluded(queue.delivered), std::ops::Bound::Unbounded);
        let ids: Vec<LineId> = queue.lines.range(from).take(max).map(|(id, _)| *id).collect();
        queue.delivered = ids.last().copied().unwrap_or(queue.delivered);
        queue.taken.extend(ids.iter().map(|id| (*id, now)));
        ids
    }

    /// Takes a queue and says whether it was the worker's before, or for how long another has it still.
    pub(super) fn own(
        &mut self,
        now: u64,
        partition: Partition,
        worker: &str,
        lease: Duration,
    ) -> Result<bool, Duration> {
        let queue = self.of(partition);
        let owner = queue.owner.as_ref().filter(|owner| now < owner.until);
        let own = owner.is_some_and(|owner| owner.worker == worker);
        if let Some(owner) = owner.filter(|_| !own) {
            let left = Duration::from_millis(owner.until - now);
            // As with every lease: one of twice the length is of a clock that has gone back.
            if left <= 2 * lease {
                return Err(left);
            }
        }
        let until = super::shard::after(now, lease);
        queue.owner = Some(Owner { worker: worker.to_owned(), until, waits: false });
        Ok(own)
    }

    /// The owner waits to be told.
    pub(super) fn waits(&mut self, partition: Partition) {
        if let Some(owner) = &mut self.of(partition).owner {
            owner.waits = true;
        }
    }

    /// Whether the owner is to be told.
    pub(super) fn wake(&mut self, now: u64, partition: Partition) -> bool {
        let owner = self.of(partition).owner.as_mut();
        owner.filter(|owner| now < owner.until).is_some_and(|owner| std::mem::take(&mut owner.waits))
    }

    /// Whether it was the worker's: a lease that has ended is nobody's.
    pub(super) fn leave(&mut self, now: u64, Leave { partition, worker, to }: &Leave) -> bool {
        if to.is_none() {
            self.workers.remove(worker);
        }
        let queue = self.of(*partition);
        let own = queue.owner.as_ref().is_some_and(|owner| owner.worker == *worker && now < owner.until);
        if own {
            queue.owner = to.as_ref().map(|(to, lease)| {
                let until = super::shard::after(now, *lease);
                Owner { worker: to.clone(), until, waits: false }
            });
        }
        own
    }

    /// Those that are there, with this one, in order.
    pub(super) fn muster(&mut self, now: u64, worker: String, gone: Duration) -> Vec<String> {
        let gone = u64::try_from(gone.as_millis()).unwrap_or(u64::MAX);
        self.workers.insert(worker, now);
        self.workers.retain(|_, seen| now.abs_diff(*seen) < gone);
        let mut there: Vec<(u64, &String)> = self.workers.iter().map(|(name, seen)| (*seen, name)).collect();
        there.sort_unstable();
        let mut there: Vec<String> =
            there.into_iter().take(WORKERS_MAX).map(|(_, name)| name.clone()).collect();
        there.sort_unstable();
        there
    }

    /// Queues with lines: which, how many, and when the oldest came.
    pub(super) fn filled(&self) -> impl Iterator<Item = (Partition, u64, u64)> {
        self.filed.iter().filter_map(|(partition, queue)| {
            let (first, _) = queue.lines.first_key_value()?;
            Some((*partition, queue.lines.len() as u64, first.0))
        })
    }

    pub(super) fn bury(&mut self, now: u64, make: impl FnOnce(String) -> Dead) {
        let id = self.next_id(now);
        self.dead.insert(id, make(spelt(id)));
    }

    pub(super) fn dead(&self) -> &BTreeMap<LineId, Dead> {
        &self.dead
    }

    pub(super) fn drop_lines(&mut self, partition: Partition) {
        let queue = self.of(partition);
        queue.lines.clear();
        queue.taken.clear();
        queue.delivered = LineId::default();
    }

    pub(super) fn drop_parked(&mut self, partition: Partition) {
        self.of(partition).parked.clear();
    }

    pub(super) fn drop_owner(&mut self, partition: Partition) {
        self.of(partition).owner = None;
    }

    pub(super) fn drop_group(&mut self, partition: Partition) {
        let queue = self.of(partition);
        queue.taken.clear();
        queue.delivered = LineId::default();
    }

    pub(super) fn drop_workers(&mut self) {
        self.workers.clear();
    }

    pub(super) fn drop_letters(&mut self) {
        self.dead.clear();
    }

    pub(super) fn drop_dead(&mut self, ids: &[String]) -> u64 {
        ids.iter().filter(|id| read(id).is_some_and(|id| self.dead.remove(&id).is_some())).count() as u64
    }
}

/// As a stream spells it.
pub(super) fn spelt((at, n): LineId) -> String {
    format!("{at}-{n}")
}

/// As it was spelt.
pub(super) fn read(text: &str) -> Option<LineId> {
    let (at, n) = text.split_once('-')?;
    Some((at.parse().ok()?, n.parse().ok()?))
}
