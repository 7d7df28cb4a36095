//! Holds what was written through instances against P5, and reads of it against all that is promised of reads.
//!
//! The rank of a write is its fence: among writes of one object the greater one is the later one. `past` finds the rank
//! and the fate of every write of an object, `reads` holds reads against them.
//!
//! What a fault takes away by its nature is not asked for, and no more: with what the server forgot goes what was
//! pending then, and the floors of the objects to which that happened. A write that became a dead letter, or that only
//! a dead letter superseded, binds no reader: its value is given up.

mod fates;
mod past;
mod reads;
mod tests;

use std::collections::{HashMap, HashSet};

use super::record::{Floor, Happened, Outcome, Record};
use super::verdict::{Promise, Violation, Writes};
use super::written::{Accepted, Answer, Mode};
use fates::{Delivery, Fate};
use past::Past;
use reads::Seen;

/// Everything about objects that are written through instances.
pub(super) struct Checker<'a> {
    spaces: HashSet<&'a str>,
    objects: HashMap<&'a str, Past<'a>>,
    /// Where each write is: its object, and its place there.
    numbers: HashMap<u64, (&'a str, usize)>,
    max_staleness: u64,
    pub(super) figures: Writes,
}

impl<'a> Checker<'a> {
    /// Finds out what became of every write, and what is wrong with that.
    pub(super) fn new(max_staleness: u64, records: &'a [Record]) -> (Self, Vec<Violation>) {
        let (mut spaces, mut objects, mut numbers) =
            (HashSet::new(), HashMap::<_, Past>::new(), HashMap::new());
        let (mut forgot, mut drained, mut figures) = (Vec::new(), false, Writes::default());
        for (place, record) in records.iter().enumerate() {
            match &record.happened {
                Happened::Written { space } => drop(spaces.insert(space.as_str())),
                Happened::Write { write, object, put, mode, answer, .. } => {
                    let past = objects.entry(object.as_str()).or_default();
                    assert!(
                        numbers.insert(*write, (object.as_str(), past.fates.len())).is_none(),
                        "write {write} is there twice"
                    );
                    let (asked, taken) = figures.asked.entry(*mode).or_default();
                    *asked += 1;
                    *taken += u64::from(matches!(answer, Answer::Accepted(_)));
                    if let Answer::Accepted(Accepted { durability: Some(durability), .. }) = answer {
                        *figures.kept.entry(durability.clone()).or_default() += 1;
                    }
                    past.fates.push(Fate::new(place, record, *write, *put, *mode, answer));
                }
                // Others are written past every instance.
                Happened::Delivered { object, write, seq, idempotency_key, done }
                    if spaces.contains(object.split('/').next().unwrap_or_default()) =>
                {
                    let past = objects.entry(object.as_str()).or_default();
                    let key = idempotency_key.as_deref();
                    past.deliveries.push(Delivery {
                        place,
                        started: record.started,
                        ended: record.ended,
                        write: *write,
                        seq: *seq,
                        key,
                        done: *done,
                    });
                }
                Happened::Dead { object, id, seq } => {
                    objects.entry(object.as_str()).or_default().dead.push((id.as_str(), *seq));
                }
                Happened::Forgot => forgot.push((record.started, record.ended)),
                Happened::Drained => {
                    drained = true;
                    figures.drained.push(record.ended - record.started);
                }
                _ => {}
            }
        }
        let mut violations = Vec::new();
        for (object, past) in &mut objects {
            let wrong = past.judge(&forgot, drained, &mut figures);
            violations.extend(wrong.into_iter().map(|(promise, record, text)| Violation {
                promise,
                record,
                object: (*object).to_owned(),
                text,
            }));
        }
        violations.sort_by_key(|violation| violation.record);
        (Self { spaces, objects, numbers, max_staleness, figures }, violations)
    }

    /// Whether the object is one of those.
    pub(super) fn knows(&self, object: &str) -> bool {
        self.spaces.contains(object.split('/').next().unwrap_or_default())
    }

    /// A write has ended: what it binds readers to from now on.
    pub(super) fn written(&mut self, write: u64, ended: u64) {
        let (object, place) = self.numbers[&write];
        let past = self.objects.get_mut(object).expect("the object of a write is known");
        past.bind(place, ended, ended.saturating_add(self.max_staleness));
    }

    /// What is to be said of a read of an object.
    pub(super) fn read(
        &mut self,
        record: &Record,
        object: &'a str,
        floor: &Floor,
        outcome: &Outcome,
        settled: Option<u64>,
    ) -> Seen {
        let named = match floor {
            Floor::Write(number) => self.numbers.get(number).copied(),
            _ => None,
        };
        let named = named.map(|(of, place)| (of == object, self.objects[of].fates[place].clone()));
        let of = match outcome {
            Outcome::Value { version, .. } => self.numbers.get(version).filter(|(of, _)| *of == object),
            _ => None,
        };
        let of = of.map(|(_, place)| *place);
        self.objects.entry(object).or_default().read(record, of, floor, named, outcome, settled)
    }
}

/// What is wrong with the writes of an object: which promise, where in the history, and how.
type Wrong = (Promise, usize, String);

/// Whether a write of that kind is at the origin once it is acknowledged.
fn at_once(mode: Mode) -> bool {
    mode != Mode::Behind
}
