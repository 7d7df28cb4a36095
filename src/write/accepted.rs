//! The values of writes that this instance accepted a moment ago, for a worker of its own that takes one of them: it need
//! not ask the backend for what was here just now.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::model::{LineageId, Seq, Shard};

/// Bytes of values that are kept, of all queues; those that were accepted first go first.
const BYTES_MAX: usize = 16 << 20;
/// A longer one is not worth the others' room.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// What one takes beside its value.
const OWN_BYTES: usize = 256;

/// Values by what tells one write from all others.
#[derive(Default)]
pub(super) struct Accepted {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    values: HashMap<(Shard, Seq), Value>,
    /// As they were accepted: numbers of two shards say nothing about that.
    order: BTreeMap<u64, (Shard, Seq)>,
    count: u64,
    bytes: usize,
}

struct Value {
    lineage: LineageId,
    envelope: Bytes,
    place: u64,
}

impl Accepted {
    /// A write was accepted under this number.
    pub(super) fn keep(&self, shard: Shard, lineage: LineageId, seq: Seq, envelope: Bytes) {
        if VALUE_BYTES_MAX < envelope.len() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove((shard, seq));
        kept.count += 1;
        let place = kept.count;
        kept.bytes += weight(&envelope);
        kept.order.insert(place, (shard, seq));
        kept.values.insert((shard, seq), Value { lineage, envelope, place });
        while BYTES_MAX < kept.bytes
            && let Some((_, oldest)) = kept.order.pop_first()
        {
            kept.remove(oldest);
        }
    }

    /// The value of a write, if it is here. It is not kept any longer.
    pub(super) fn take(&self, shard: Shard, lineage: &LineageId, seq: Seq) -> Option<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let value = kept.remove((shard, seq))?;
        (value.lineage == *lineage).then_some(value.envelope)
    }
}

impl Kept {
    fn remove(&mut self, write: (Shard, Seq)) -> Option<Value> {
        let value = self.values.remove(&write)?;
        self.order.remove(&value.place);
        self.bytes -= weight(&value.envelope);
        Some(value)
    }
}

fn weight(envelope: &Bytes) -> usize {
    envelope.len() + OWN_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: Shard = Shard(0);

    fn lineage() -> LineageId {
        LineageId::new("a")
    }

    #[test]
    fn a_value_is_there_once_and_for_its_write_alone() {
        let accepted = Accepted::default();
        accepted.keep(SHARD, lineage(), 7, Bytes::from_static(b"seven"));
        assert_eq!(accepted.take(SHARD, &lineage(), 8), None);
        assert_eq!(accepted.take(Shard(1), &lineage(), 7), None);
        assert_eq!(accepted.take(SHARD, &lineage(), 7).as_deref(), Some(&b"seven"[..]));
        assert_eq!(accepted.take(SHARD, &lineage(), 7), None);

        accepted.keep(SHARD, lineage(), 9, Bytes::from_static(b"nine"));
        assert_eq!(accepted.take(SHARD, &LineageId::new("b"), 9), None, "a write of another history");
        assert_eq!(accepted.kept.lock().unwrap().bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_came_first_goes_first() {
        let accepted = Accepted::default();
        let value = Bytes::from(vec![0; VALUE_BYTES_MAX - OWN_BYTES]);
        // Those of another shard, with higher numbers, that nobody takes.
        for seq in 101..=120 {
            accepted.keep(Shard(1), lineage(), seq, value.clone());
        }
        for seq in (1..=4).rev() {
            accepted.keep(SHARD, lineage(), seq, value.clone());
        }
        assert_eq!(accepted.kept.lock().unwrap().bytes, BYTES_MAX);
        let there = |shard, range: std::ops::RangeInclusive<Seq>| {
            range.filter(|seq| accepted.take(shard, &lineage(), *seq).is_some()).collect::<Vec<Seq>>()
        };
        assert_eq!(there(SHARD, 1..=4), [1, 2, 3, 4]);
        assert_eq!(there(Shard(1), 101..=120), (109..=120).collect::<Vec<Seq>>());

        accepted.keep(SHARD, lineage(), 1, Bytes::from(vec![0; VALUE_BYTES_MAX + 1]));
        assert_eq!(accepted.take(SHARD, &lineage(), 1), None, "it is too long");
        let kept = accepted.kept.lock().unwrap();
        assert_eq!((kept.bytes, kept.values.len(), kept.order.len()), (0, 0, 0));
    }
}
