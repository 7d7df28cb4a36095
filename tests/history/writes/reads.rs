//! Reads of an object that is written through instances.

use super::fates::Fate;
use super::past::Past;
use crate::history::floors::Floors;
use crate::history::record::{Floor, Outcome, Record};
use crate::history::verdict::Promise;

/// What is to be said of a read.
#[derive(Debug, Default)]
pub(in crate::history) struct Seen {
    /// Some promise had something to say about it.
    pub(in crate::history) bound: bool,
    /// It is older than what was acknowledged before it began: by how much.
    pub(in crate::history) stale: Option<u64>,
    /// What it broke, and how.
    pub(in crate::history) broken: Vec<(Promise, String)>,
}

#[derive(Debug, Default)]
struct Kept {
    bounded: Floors,
    everywhere: Floors,
    logged: Floors,
}

/// What readers are bound by. An object of which something was pending when the server forgot begins anew: what was
/// acknowledged before binds nobody any more.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// From a moment on, and until when, in order.
    forgot: Vec<(u64, u64)>,
    /// One more than those.
    kept: Vec<Kept>,
    /// When removals were begun, and the last of them and of those before; `None`: nobody knows.
    removals: Vec<(u64, Option<u64>)>,
}

impl Bound {
    /// Of an object with these writes.
    pub(super) fn new(fates: &[Fate], forgot: &[(u64, u64)]) -> Self {
        let mut exposed: Vec<(u64, u64)> = (forgot.iter().copied())
            .filter(|(from, until)| {
                let pending = |fate: &&Fate| {
                    !super::at_once(fate.mode)
                        && fate.started <= *until
                        && fate.resolved.is_none_or(|resolved| *from < resolved)
                };
                fates.iter().any(|fate| pending(&fate))
            })
            .collect();
        exposed.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (from, until) in exposed {
            match merged.last_mut() {
                Some((_, last)) if from <= *last => *last = until.max(*last),
                _ => merged.push((from, until)),
            }
        }
        let kept = (0..=merged.len()).map(|_| Kept::default()).collect();
        let mut removals: Vec<(u64, Option<u64>)> =
            fates.iter().filter(|fate| !fate.put).map(|fate| (fate.started, fate.most)).collect();
        removals.sort_unstable();
        let mut last = Some(0);
        for (_, rank) in &mut removals {
            last = last.zip(*rank).map(|(last, rank)| rank.max(last));
            *rank = last;
        }
        Self { forgot: merged, kept, removals }
    }

    /// Where the floors of a write are that began then.
    fn of_write(&self, started: u64) -> usize {
        self.forgot.partition_point(|(_, until)| *until < started)
    }

    /// Where the floors for a read are that ended then.
    fn of_read(&self, ended: u64) -> usize {
        self.forgot.partition_point(|(from, _)| *from <= ended)
    }
}

impl Past<'_> {
    /// The write has ended: it binds at once whoever asks for it, and all others from `bounded` on.
    pub(super) fn bind(&mut self, place: usize, at: u64, bounded: u64) {
        let fate = &self.fates[place];
        let (Some(accepted), Some(rank), true) = (fate.accepted, fate.rank, fate.stands) else { return };
        let epoch = self.bound.of_write(fate.started);
        let kept = &mut self.bound.kept[epoch];
        kept.logged.raise(at, rank);
        kept.bounded.raise(bounded, rank);
        if accepted.everywhere {
            kept.everywhere.raise(at, rank);
        }
    }

    /// What is to be said of a read of what that write of this object gave it, if any did; `named` is the write that it
    /// asks for, and whether that is one of this object.
    pub(super) fn read(
        &self,
        record: &Record,
        of: Option<usize>,
        floor: &Floor,
        named: Option<(bool, Fate)>,
        outcome: &Outcome,
        settled: Option<u64>,
    ) -> Seen {
        let mut seen = Seen::default();
        let (started, ended) = (record.started, record.ended);
        let settled = settled.is_some_and(|since| since <= started);
        let version = match outcome {
            Outcome::Value { version, .. } => Some(*version),
            Outcome::Absent { .. } => None,
            Outcome::Refused { .. } | Outcome::Failed { .. } => return seen,
        };
        if settled && version != self.last {
            let text = format!("version {version:?}, and the origin has {:?}", self.last);
            seen.broken.push((Promise::Convergence, text));
        }
        let rank = match version {
            Some(number) => {
                let Some(fate) = of.map(|place| &self.fates[place]).filter(|fate| fate.started < ended)
                else {
                    seen.broken.push((Promise::Fabrication, format!("write {number} was never begun")));
                    return seen;
                };
                fate.rank
            }
            None => self.rank_of_nothing(ended),
        };
        // Nobody knows where among the others a write is whose answer was lost and that the origin never saw.
        let Some(rank) = rank else { return seen };
        let Some(kept) = self.bound.kept.get(self.bound.of_read(ended)) else { return seen };
        let mut asked = vec![
            (Promise::Staleness, kept.bounded.at(started)),
            (Promise::Everywhere, kept.everywhere.at(started)),
        ];
        match (floor, named) {
            (Floor::Strict, _) => asked.push((Promise::Strict, kept.logged.at(started))),
            (Floor::Write(_), Some((of_this, named))) => {
                asked.push((Promise::OwnWrites, kept.logged.at(named.started)));
                let same = self.bound.of_write(named.started) == self.bound.of_read(ended);
                if let Some(least) = named.rank.filter(|_| of_this && named.stands && same) {
                    asked.push((Promise::OwnWrites, (named.ended, least)));
                }
            }
            _ => {}
        }
        seen.bound = asked.iter().any(|(_, (_, least))| *least != 0);
        seen.stale = kept.logged.first_above(rank, started).map(|since| started - since);
        for (promise, (since, least)) in asked.into_iter().filter(|(_, (_, least))| rank < *least) {
            let age = std::time::Duration::from_nanos(started.saturating_sub(since));
            seen.broken.push((
                promise,
                format!("write {version:?}, which is {rank}, {age:?} after {least} was due"),
            ));
        }
        seen.broken.dedup_by_key(|(promise, _)| *promise);
        seen
    }

    /// No value: nothing was ever written, or the last removal that had begun by then; `None`: nobody knows.
    fn rank_of_nothing(&self, ended: u64) -> Option<u64> {
        let removals = &self.bound.removals;
        let begun = removals.partition_point(|(started, _)| *started < ended);
        begun.checked_sub(1).map_or(Some(0), |last| removals[last].1)
    }
}
