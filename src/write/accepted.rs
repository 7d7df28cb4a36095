//! The values of writes that this instance accepted a moment ago, for a worker of its own that takes one of them: it need
//! not ask the backend for what was here just now.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::model::{LineageId, Seq, Shard};

/// Bytes of values that are kept, of all queues; those of the oldest writes go first.
const BYTES_MAX: usize = 16 << 20;
/// What one takes beside its value.
const OWN_BYTES: usize = 128;

/// Values by what tells one write from all others.
#[derive(Default)]
pub(super) struct Accepted {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The first is the oldest: numbers grow, and begin with the clock's.
    values: BTreeMap<(Seq, Shard), (LineageId, Bytes)>,
    bytes: usize,
}

impl Accepted {
    /// A write was accepted under this number.
    pub(super) fn keep(&self, shard: Shard, lineage: LineageId, seq: Seq, envelope: Bytes) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += weight(&envelope);
        let before = kept.values.insert((seq, shard), (lineage, envelope));
        kept.bytes -= before.map_or(0, |(_, envelope)| weight(&envelope));
        while BYTES_MAX < kept.bytes {
            let Some((_, (_, oldest))) = kept.values.pop_first() else { break };
            kept.bytes -= weight(&oldest);
        }
    }

    /// The value of a write, if it is here. It is not kept any longer.
    pub(super) fn take(&self, shard: Shard, lineage: &LineageId, seq: Seq) -> Option<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, envelope) = kept.values.remove(&(seq, shard))?;
        kept.bytes -= weight(&envelope);
        (of == *lineage).then_some(envelope)
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
    fn what_is_kept_is_bounded_and_the_oldest_go_first() {
        let accepted = Accepted::default();
        let value = Bytes::from(vec![0; (1 << 20) - OWN_BYTES]);
        for seq in (1..=20).rev() {
            accepted.keep(SHARD, lineage(), seq, value.clone());
        }
        assert_eq!(accepted.kept.lock().unwrap().bytes, BYTES_MAX);
        let there: Vec<Seq> =
            (1..=20).filter(|seq| accepted.take(SHARD, &lineage(), *seq).is_some()).collect();
        assert_eq!(there, (5..=20).collect::<Vec<Seq>>());

        accepted.keep(SHARD, lineage(), 1, Bytes::from(vec![0; BYTES_MAX]));
        assert_eq!((accepted.take(SHARD, &lineage(), 1), accepted.kept.lock().unwrap().bytes), (None, 0));
    }
}
