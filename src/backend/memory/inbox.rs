//! The inbox stream and its one consumer group. Pure: time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::backend::InboxEntry;

/// Most entries, taken or not.
const ENTRIES_MAX: usize = 100_000;

/// `MILLISECONDS-NUMBER`, as streams count.
type Id = (u64, u64);

/// Entries nobody has taken, and entries taken but not finished.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    last: Id,
    waiting: VecDeque<(Id, Fields)>,
    /// Who took them is not kept: whoever adopts or finishes one need not be the one who took it.
    pending: BTreeMap<Id, Pending>,
}

type Fields = Vec<(Bytes, Bytes)>;

#[derive(Clone, Debug)]
struct Pending {
    fields: Fields,
    since: u64,
}

impl Inbox {
    /// Appends an entry; `None` when the inbox is full.
    pub fn add(&mut self, now: u64, fields: Fields) -> Option<String> {
        if ENTRIES_MAX <= self.waiting.len() + self.pending.len() {
            return None;
        }
        let (ms, number) = self.last;
        self.last = if ms < now { (now, 0) } else { (ms, number + 1) };
        self.waiting.push_back((self.last, fields));
        Some(spelt(self.last))
    }

    /// Hands out at most `max` entries that nobody has taken.
    pub fn take(&mut self, now: u64, max: usize) -> Vec<InboxEntry> {
        let taken: Vec<_> = self.waiting.drain(..max.min(self.waiting.len())).collect();
        let hand = |(id, fields): (Id, Fields)| {
            self.pending.insert(id, Pending { fields: fields.clone(), since: now });
            InboxEntry { id: spelt(id), fields }
        };
        taken.into_iter().map(hand).collect()
    }

    /// Hands out again at most `max` entries that were taken `idle` ago or earlier.
    pub fn adopt(&mut self, now: u64, max: usize, idle: Duration) -> Vec<InboxEntry> {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let ripe = self.pending.iter_mut().filter(|(_, it)| idle <= now.saturating_sub(it.since));
        let adopt = |(id, it): (&Id, &mut Pending)| {
            it.since = now;
            InboxEntry { id: spelt(*id), fields: it.fields.clone() }
        };
        ripe.take(max).map(adopt).collect()
    }

    /// Removes finished entries; unknown ids are nothing to finish.
    pub fn done(&mut self, ids: &[String]) {
        for id in ids.iter().filter_map(|id| read(id)) {
            self.pending.remove(&id);
        }
    }
}

fn spelt((ms, number): Id) -> String {
    format!("{ms}-{number}")
}

fn read(id: &str) -> Option<Id> {
    let (ms, number) = id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_only_grow_even_if_time_goes_back() {
        let mut inbox = Inbox::default();
        let ids = [5, 5, 4, 6].map(|now| inbox.add(now, Vec::new()).unwrap());
        assert_eq!(ids, ["5-0", "5-1", "5-2", "6-0"]);
    }

    #[test]
    fn an_entry_is_adopted_only_after_its_time() {
        let mut inbox = Inbox::default();
        inbox.add(0, Vec::new()).unwrap();
        assert_eq!(inbox.take(10, 9).len(), 1);
        let idle = Duration::from_millis(100);
        assert!(inbox.adopt(109, 9, idle).is_empty());
        assert_eq!(inbox.adopt(110, 9, idle).len(), 1);
        assert!(inbox.adopt(209, 9, idle).is_empty());
    }

    #[test]
    fn a_full_inbox_takes_no_more_until_entries_are_done() {
        let mut inbox = Inbox::default();
        for _ in 0..ENTRIES_MAX {
            inbox.add(0, Vec::new()).unwrap();
        }
        assert_eq!(inbox.add(0, Vec::new()), None);
        let taken = inbox.take(0, 1).remove(0).id;
        assert_eq!(inbox.add(0, Vec::new()), None);
        inbox.done(&[taken, "not an id".to_owned()]);
        assert!(inbox.add(0, Vec::new()).is_some());
    }
}
