//! What an instance remembers of the log: enough to say again what a server has lost, or that it cannot.
//!
//! It decides nothing but this: whether what it has is all that it has applied after a number.

use std::collections::VecDeque;

use crate::backend::Told;
use crate::model::{Event, LineageId, Seq};

/// Events remembered.
const EVENTS_MAX: usize = 4096;
/// Targets of theirs, all together.
const TARGETS_MAX: usize = 65_536;

/// The last events of one shard's lineage, without a gap.
#[derive(Clone, Debug)]
pub struct Memory {
    lineage: LineageId,
    /// The last event applied, or the head that was begun from or skipped to.
    seen: Seq,
    events: VecDeque<(Seq, Event)>,
    targets: usize,
}

impl Memory {
    /// Of a lineage that is followed from `head` on: what was before is not remembered.
    pub fn begin(lineage: LineageId, head: Seq) -> Self {
        Self { lineage, seen: head, events: VecDeque::new(), targets: 0 }
    }

    /// The lineage.
    pub fn lineage(&self) -> &LineageId {
        &self.lineage
    }

    /// The last event applied.
    pub fn seen(&self) -> Seq {
        self.seen
    }

    /// The next event.
    pub fn note(&mut self, seq: Seq, event: &Event) {
        if seq != self.seen + 1 {
            self.skip(seq);
        }
        self.seen = seq;
        self.targets += event.targets.len();
        self.events.push_back((seq, event.clone()));
        while EVENTS_MAX < self.events.len() || TARGETS_MAX < self.targets {
            let Some((_, oldest)) = self.events.pop_front() else { break };
            self.targets -= oldest.targets.len();
        }
    }

    /// The log went on to `head` without what lies between.
    pub fn skip(&mut self, head: Seq) {
        (self.seen, self.targets) = (head, 0);
        self.events.clear();
    }

    /// What is remembered after `after`, and whether that is all that was applied.
    pub fn after(&self, after: Seq) -> Told {
        let events: Vec<_> = self.events.iter().filter(|(seq, _)| after < *seq).cloned().collect();
        let whole = self.seen.saturating_sub(after) == events.len() as u64;
        Told { events, whole }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Tag, Target};

    fn event(targets: usize) -> Event {
        Event::hard(vec![Target::Tag(Tag::new("t").unwrap()); targets])
    }

    fn seqs(told: &Told) -> Vec<Seq> {
        told.events.iter().map(|(seq, _)| *seq).collect()
    }

    #[test]
    fn what_was_applied_is_told_whole() {
        let mut memory = Memory::begin(LineageId::new("a"), 10);
        (11..=14).for_each(|seq| memory.note(seq, &event(1)));
        let told = memory.after(12);
        assert_eq!((seqs(&told), told.whole), (vec![13, 14], true));
        assert_eq!(memory.after(14), Told { events: Vec::new(), whole: true });
        // A server that is ahead of it lacks nothing of what it knows.
        assert_eq!(memory.after(20), Told { events: Vec::new(), whole: true });
    }

    #[test]
    fn what_was_begun_from_skipped_or_forgotten_is_missing() {
        let mut memory = Memory::begin(LineageId::new("a"), 10);
        assert!(!memory.after(9).whole, "the event it began from was never seen");
        memory.note(11, &event(1));
        memory.skip(20);
        memory.note(21, &event(1));
        assert!(!memory.after(15).whole && memory.after(20).whole);
        (22..22 + EVENTS_MAX as u64).for_each(|seq| memory.note(seq, &event(1)));
        assert!(!memory.after(20).whole && memory.after(21).whole);
    }

    #[test]
    fn what_is_remembered_is_bounded_by_targets_too() {
        let mut memory = Memory::begin(LineageId::new("a"), 0);
        (1..=100).for_each(|seq| memory.note(seq, &event(1000)));
        assert!(memory.targets <= TARGETS_MAX && memory.events.len() == TARGETS_MAX / 1000);
    }

    proptest! {
        /// Whatever is applied and skipped: what it calls whole is every event after the number, once, and in order.
        #[test]
        fn whole_is_everything(steps in prop::collection::vec((any::<bool>(), 1u64..4), 0..60), after in 0u64..200) {
            let mut memory = Memory::begin(LineageId::new("a"), 5);
            let mut last = 5;
            for (skips, by) in steps {
                if skips {
                    last += by;
                    memory.skip(last);
                } else {
                    last += 1;
                    memory.note(last, &event(1));
                }
            }
            let told = memory.after(after);
            prop_assert_eq!(memory.seen(), last);
            if told.whole {
                prop_assert_eq!(seqs(&told), (after + 1..=last).collect::<Vec<_>>());
            }
        }
    }
}
