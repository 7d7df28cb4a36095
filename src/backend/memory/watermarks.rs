//! Which names an event has named last, and for whatever was forgotten a floor that stands for all names.

use std::collections::HashMap;

use crate::model::{Hardness, Name, Seq};

/// Two generations of marks. A full one pushes out the one before it, and the floors rise to where that one was
/// closed: no mark in it was higher, so what is forgotten only ever counts as more recent than it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Watermarks {
    current: Marks,
    previous: Marks,
    /// The last event when `previous` was closed.
    previous_closed: Seq,
    floor: Floors,
}

#[derive(Clone, Debug, Default)]
struct Marks {
    hard: HashMap<Name, Seq>,
    soft: HashMap<Name, Seq>,
}

#[derive(Clone, Debug, Default)]
struct Floors {
    hard: Seq,
    soft: Seq,
}

impl Marks {
    fn of(&self, hardness: Hardness) -> &HashMap<Name, Seq> {
        match hardness {
            Hardness::Hard => &self.hard,
            Hardness::Soft => &self.soft,
        }
    }
}

impl Watermarks {
    /// The event `seq` named `name`.
    pub(super) fn mark(&mut self, hardness: Hardness, name: Name, seq: Seq) {
        match hardness {
            Hardness::Hard => self.current.hard.insert(name, seq),
            Hardness::Soft => self.current.soft.insert(name, seq),
        };
    }

    /// The event `seq` named everything.
    pub(super) fn mark_all(&mut self, hardness: Hardness, seq: Seq) {
        match hardness {
            Hardness::Hard => self.floor.hard = self.floor.hard.max(seq),
            Hardness::Soft => self.floor.soft = self.floor.soft.max(seq),
        }
    }

    /// Begins another generation if the current one holds more than `names_max` after the event `seq`.
    pub(super) fn rotate(&mut self, names_max: usize, seq: Seq) {
        if self.current.hard.len() + self.current.soft.len() <= names_max {
            return;
        }
        self.floor.hard = self.floor.hard.max(self.previous_closed);
        self.floor.soft = self.floor.soft.max(self.previous_closed);
        self.previous = std::mem::take(&mut self.current);
        self.previous_closed = seq;
    }

    /// The newest hard event that named `name`, as far as the current generation knows.
    #[cfg(test)]
    pub(super) fn newest(&self, name: &Name) -> Seq {
        self.current.hard.get(name).copied().unwrap_or(0)
    }

    /// Whether an event later than `token` named one of `names`.
    pub(super) fn named_since<'a>(
        &self,
        hardness: Hardness,
        token: Seq,
        mut names: impl Iterator<Item = &'a Name>,
    ) -> bool {
        let floor = match hardness {
            Hardness::Hard => self.floor.hard,
            Hardness::Soft => self.floor.soft,
        };
        let later = |marks: &Marks, name| marks.of(hardness).get(name).is_some_and(|mark| token < *mark);
        token < floor || names.any(|name| later(&self.current, name) || later(&self.previous, name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: u8) -> Name {
        Name::from_stored(&format!("t/{number}"))
    }

    #[test]
    fn a_mark_counts_for_older_tokens_of_its_hardness() {
        let mut marks = Watermarks::default();
        marks.mark(Hardness::Soft, name(1), 5);
        let named = |hardness, token, n| marks.named_since(hardness, token, [name(n)].iter());
        assert!(named(Hardness::Soft, 4, 1));
        assert!(!named(Hardness::Soft, 5, 1));
        assert!(!named(Hardness::Soft, 4, 2));
        assert!(!named(Hardness::Hard, 4, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_forgotten_nothing_named_since_is_missed_and_memory_is_bounded(
            events in prop::collection::vec((any::<bool>(), prop::collection::vec(0..30_u8, 0..3)), 1..60),
            max in 1..8_usize,
        ) {
            let mut marks = Watermarks::default();
            let mut history = Vec::new();
            for (seq, (hard, names)) in (1..).zip(events) {
                let hardness = if hard { Hardness::Hard } else { Hardness::Soft };
                for n in &names {
                    marks.mark(hardness, name(*n), seq);
                }
                if names.is_empty() {
                    marks.mark_all(hardness, seq);
                }
                marks.rotate(max, seq);
                history.push((seq, hardness, names));

                let size = |it: &Marks| it.hard.len() + it.soft.len();
                prop_assert!(size(&marks.current) <= max && size(&marks.previous) <= max + 3);
                for (token, n, hardness) in
                    (0..=seq).flat_map(|t| (0..30).flat_map(move |n| [(t, n, Hardness::Hard), (t, n, Hardness::Soft)]))
                {
                    let truly = history.iter().any(|(seq, of, names)| {
                        token < *seq && *of == hardness && (names.is_empty() || names.contains(&n))
                    });
                    prop_assert!(!truly || marks.named_since(hardness, token, [name(n)].iter()));
                }
                // what the last event has seen is never taken for old
                prop_assert!(!marks.named_since(Hardness::Hard, seq, (0..30).map(name).collect::<Vec<_>>().iter()));
            }
        }
    }
}
