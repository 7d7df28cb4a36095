//! What others than the scripts do to a shard: for tests and simulation, and for the check of the scripts against this
//! model. Nobody is told.

use super::super::queues::Behind;
use super::{Birth, Limits, ShardState, lease_place, place};
use crate::backend::{EntryId, Partition};
use crate::model::{LineageId, Seq};

impl ShardState {
    /// Loses everything, like FLUSHALL; only the counters are kept, as the least that the next lineage starts above and
    /// that the next fence is above.
    pub fn flush(&mut self) {
        let (seq, locks) = (self.seq, self.locks.forgotten());
        *self = Self { seq, locks, ..Self::new(self.shard, self.limits, self.ids.0) };
    }

    /// Ends the lineage, like DEL of the control record or a server that is another one than before: what was stored
    /// under it is void, and the next step that needs a lineage begins one. Locks are held until their time is over.
    pub fn end_lineage(&mut self) {
        self.lineage = None;
        self.birth = Birth::default();
    }

    /// Goes back to what it was once. Ids are not given out again: on a server they hold its clock and who it is. Nor are
    /// fences: there they are its clock.
    pub fn restore(&mut self, dumped: &Self) {
        let locks = dumped.locks.above(&self.locks);
        *self = Self { ids: self.ids.clone(), locks, ..dumped.clone() };
    }

    /// Begins a lineage at this very number, the one that a server chose, and says which it is.
    pub fn begin_lineage(&mut self, start: Seq) -> LineageId {
        let begun = self.begun(start);
        self.lineage.insert(begun).0.clone()
    }

    /// What a server's control record says of how the lineage began: when, after which number, at which, and up to which
    /// one pending writes may be outdated.
    pub fn born(&mut self, at: u64, prev: Seq, start: Seq, lost: Seq) {
        self.birth = Birth { at, prev, start, lost };
    }

    /// Another configuration: it counts from the next event on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// DEL of an entry.
    pub fn drop_entry(&mut self, entry: &EntryId) {
        self.entries.remove(&place(entry));
    }

    /// A pending write under this number, of which nothing else is known, where there is an entry.
    pub fn soil_entry(&mut self, now: u64, entry: &EntryId, write: Seq) {
        if let Some(item) = self.entries.get_mut(now, &place(entry)) {
            item.value.stored.dirty = Some(write);
            item.value.behind.get_or_insert_with(Behind::default);
        }
    }

    /// DEL of a lease.
    pub fn drop_lease(&mut self, now: u64, entry: &EntryId) {
        self.leases.end(now, &lease_place(entry));
    }

    /// DEL of a queue of writes: of its lines. What is said of them elsewhere is still there.
    pub fn drop_queue(&mut self, partition: Partition) {
        self.queues.drop_lines(partition);
    }

    /// DEL of the places at which the lines of a queue are due.
    pub fn drop_parked(&mut self, partition: Partition) {
        self.queues.drop_parked(partition);
    }

    /// DEL of the lease of a queue.
    pub fn drop_owner(&mut self, partition: Partition) {
        self.queues.drop_owner(partition);
    }

    /// XGROUP DESTROY: every line of the queue is delivered anew.
    pub fn drop_group(&mut self, partition: Partition) {
        self.queues.drop_group(partition);
    }

    /// DEL of the record of who is there to bring writes to their origins.
    pub fn drop_workers(&mut self) {
        self.queues.drop_workers();
    }

    /// DEL of the dead letters.
    pub fn drop_letters(&mut self) {
        self.queues.drop_letters();
    }

    /// XTRIM of the log to its last `keep` events.
    pub fn trim_log(&mut self, keep: usize) {
        self.log.drain(..self.log.len().saturating_sub(keep));
    }
}
