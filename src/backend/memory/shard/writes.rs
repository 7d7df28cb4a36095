//! The steps of the queues of writes behind: what the scripts of the Valkey backend are checked against.

use std::time::Duration;

use bytes::Bytes;

use super::super::queues::{LineId, read, spelt};
use super::{ShardState, after, place};
use crate::backend::{
    Backlog, Dead, EntryId, Leave, Line, Look, Partition, Pending, Settled, Settlement, Signal, Survey, Take,
    Taken, Waiting,
};
use crate::model::{Event, Provenance, Seq, Target};

/// Lines that one step looks at.
const LINES_MAX: usize = 1000;

/// What a step has taken so far.
struct Hand {
    writes: Vec<Pending>,
    lines: usize,
    superseded: u64,
}

impl Hand {
    fn room(&self, take: &Take) -> bool {
        self.writes.len() < take.max && self.lines < LINES_MAX
    }
}

impl ShardState {
    /// See [`crate::backend::Backend::take_writes`].
    pub fn take_writes(&mut self, now: u64, take: &Take) -> Taken {
        let partition = take.partition;
        let own = match self.queues.own(now, partition, &take.worker, take.lease) {
            Ok(own) => own,
            Err(left) => return Taken::Other { left },
        };
        let mut hand = Hand { writes: Vec::new(), lines: 0, superseded: 0 };
        let late = after(now, take.pause_max);
        for id in self.queues.all_due(partition, now, late, take.max) {
            if !hand.room(take) {
                break;
            }
            if self.queues.line(partition, id).is_none() {
                self.queues.unpark(partition, id);
            } else {
                self.consider(now, take, id, true, &mut hand);
            }
        }
        if hand.room(take) && (take.adopt || !own) {
            for id in self.queues.adopt(now, partition, take.idle, take.max - hand.writes.len()) {
                self.consider(now, take, id, false, &mut hand);
            }
        }
        let mut more = true;
        while hand.room(take) {
            let count = (take.max - hand.writes.len()).min(LINES_MAX - hand.lines);
            let ids = self.queues.deliver(now, partition, count);
            let fewer = ids.len() < count;
            for id in ids {
                self.consider(now, take, id, false, &mut hand);
            }
            if fewer {
                more = false;
                break;
            }
        }
        if !more {
            self.queues.waits(partition);
        }
        let due = self.queues.next_due(partition);
        Taken::Own {
            writes: hand.writes,
            superseded: hand.superseded,
            more,
            due: due.map(|due| Duration::from_millis(due.saturating_sub(now))),
        }
    }

    fn consider(&mut self, now: u64, take: &Take, id: LineId, due: bool, hand: &mut Hand) {
        hand.lines += 1;
        let partition = take.partition;
        let Some(line) = self.queues.line(partition, id).cloned() else {
            self.queues.drop_line(partition, id);
            return;
        };
        let kept = self.entries.get(now, &place(&line.entry)).map(|item| &item.value);
        let Some(behind) = kept
            .filter(|kept| kept.stored.dirty == Some(line.token.seq))
            .and_then(|kept| kept.behind.as_ref())
        else {
            self.queues.drop_line(partition, id);
            hand.superseded += 1;
            return;
        };
        if !due && behind.parked == Some((partition, id)) {
            self.queues.untake(partition, id);
            return;
        }
        let pending = Pending {
            line: Line { id: spelt(id), entry: line.entry, seq: line.token.seq },
            lineage: line.token.lineage,
            attempts: behind.attempts,
            since_ms: behind.since,
        };
        if due {
            self.queues.park(partition, id, after(now, take.idle));
        }
        hand.writes.push(pending);
    }

    /// See [`crate::backend::Backend::value_of_write`].
    pub fn value_of_write(&self, now: u64, line: &Line) -> Option<Bytes> {
        let stored = &self.entries.get(now, &place(&line.entry))?.value.stored;
        (stored.dirty == Some(line.seq)).then(|| stored.envelope.clone())
    }

    /// See [`crate::backend::Backend::settle_writes`].
    pub fn settle_writes(
        &mut self,
        now: u64,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Vec<Settlement> {
        settled.into_iter().map(|(line, settled)| self.settle(now, partition, &line, settled)).collect()
    }

    fn settle(&mut self, now: u64, partition: Partition, line: &Line, settled: Settled) -> Settlement {
        let Line { id, entry, seq } = line;
        let id = read(id).unwrap_or_default();
        let dirty = self.entries.get(now, &place(entry)).and_then(|item| item.value.stored.dirty);
        if dirty != Some(*seq) {
            self.queues.drop_line(partition, id);
            return Settlement::Superseded;
        }
        match settled {
            Settled::Parked { pause, counts, error } => {
                self.park(now, partition, id, entry, pause, counts, error);
                return Settlement::Done;
            }
            Settled::Flushed { event } => self.flushed(now, entry, event),
            Settled::Outdone => {
                self.announce(now, entry);
                self.entries.remove(&place(entry));
            }
            Settled::Dead { max, pause, error } => {
                if max <= self.queues.dead().len() as u64 {
                    self.park(now, partition, id, entry, pause, true, error);
                    return Settlement::Full;
                }
                self.announce(now, entry);
                self.bury(now, entry, *seq, error);
            }
        }
        self.queues.drop_line(partition, id);
        Settlement::Done
    }

    fn flushed(&mut self, now: u64, entry: &EntryId, event: bool) {
        let token = event.then(|| self.announce(now, entry));
        let Some(kept) = self.entries.remove(&place(entry)) else { return };
        let Some(behind) = kept.behind else { return };
        if behind.kept.is_zero() {
            return;
        }
        let put = crate::backend::Put {
            names: kept.stored.names,
            envelope: kept.stored.envelope,
            fresh: behind.fresh,
            kept: behind.kept,
        };
        self.store(now, entry, kept.stored.load, token.unwrap_or(kept.stored.token), put);
    }

    fn bury(&mut self, now: u64, entry: &EntryId, seq: Seq, error: String) {
        let Some(kept) = self.entries.remove(&place(entry)) else { return };
        let Some(behind) = kept.behind else { return };
        self.queues.bury(now, |id| Dead {
            id: id.clone(),
            pending: Pending {
                line: Line { id, entry: entry.clone(), seq },
                lineage: kept.stored.token.lineage,
                attempts: behind.attempts.saturating_add(1),
                since_ms: behind.since,
            },
            envelope: kept.stored.envelope,
            error,
            died_ms: now,
        });
    }

    #[expect(clippy::too_many_arguments, reason = "a step's whole context; it has one shape and two callers")]
    fn park(
        &mut self,
        now: u64,
        partition: Partition,
        id: LineId,
        entry: &EntryId,
        pause: Duration,
        counts: bool,
        error: String,
    ) {
        if let Some(behind) =
            self.entries.get_mut(now, &place(entry)).and_then(|item| item.value.behind.as_mut())
        {
            behind.attempts = behind.attempts.saturating_add(u32::from(counts));
            behind.parked = Some((partition, id));
            behind.error = Some(error);
        }
        self.queues.park(partition, id, after(now, pause));
    }

    /// An event about a key whose entry changes without one of its own.
    fn announce(&mut self, now: u64, entry: &EntryId) -> crate::backend::Token {
        let mut event = Event::hard(vec![Target::Key(entry.namespace.clone(), entry.key.clone())]);
        event.provenance = Provenance { source: "write".to_owned(), ..Provenance::default() };
        let mut token = self.token(now, 0);
        self.seq = self.seq.saturating_add(1);
        token.seq = self.seq;
        self.mark(&event);
        self.end_lease(now, super::lease_place(entry), false);
        self.append(now, event, false);
        token
    }

    /// See [`crate::backend::Backend::leave_writes`].
    pub fn leave_writes(&mut self, now: u64, leave: &Leave) {
        if self.queues.leave(now, leave) {
            self.announcements.push(Signal::Work(self.shard, leave.partition));
        }
    }

    /// See [`crate::backend::Backend::survey`].
    pub fn survey(&mut self, now: u64, look: Look) -> Survey {
        let workers = self.queues.muster(now, look.worker, look.gone);
        let filled = self.queues.filled();
        let pending = filled.map(|(_, lines, _)| lines).sum();
        let oldest = self.queues.filled().map(|(_, _, first)| first).min();
        let oldest = oldest.map(|first| Duration::from_millis(now.saturating_sub(first)));
        let others = self.queues.filled().map(|(partition, ..)| partition);
        let dead = self.queues.dead().len() as u64;
        Survey {
            backlog: Backlog { pending, oldest, dead },
            beyond: others.filter(|partition| look.beyond <= *partition).collect(),
            workers,
        }
    }

    /// See [`crate::backend::Backend::waiting_writes`].
    pub fn waiting_writes(&self, now: u64, partition: Partition, max: usize) -> Vec<Waiting> {
        let waiting = self.queues.each_line(partition).filter_map(|(id, line)| {
            let kept = &self.entries.get(now, &place(&line.entry))?.value;
            let behind = kept.behind.as_ref().filter(|_| kept.stored.dirty == Some(line.token.seq))?;
            let due = self.queues.due(partition, *id);
            Some(Waiting {
                line: Line { id: spelt(*id), entry: line.entry.clone(), seq: line.token.seq },
                attempts: behind.attempts,
                since_ms: behind.since,
                error: behind.error.clone(),
                due: due.map(|due| Duration::from_millis(due.saturating_sub(now))),
            })
        });
        waiting.take(max).collect()
    }

    /// See [`crate::backend::Backend::dead_writes`].
    pub fn dead_writes(&self, after: &str, max: usize) -> Vec<Dead> {
        let after = read(after);
        let dead = self.queues.dead().iter().filter(|(id, _)| after.is_none_or(|after| after < **id));
        dead.map(|(_, dead)| dead.clone()).take(max).collect()
    }

    /// See [`crate::backend::Backend::drop_dead`].
    pub fn drop_dead(&mut self, ids: &[String]) -> u64 {
        self.queues.drop_dead(ids)
    }
}
