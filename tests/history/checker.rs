//! Holds a history against the promises: one pass over the records, in the order of their ends.
//!
//! An acknowledgement raises a floor under the objects that its event covers, from a moment on: at once for `wait=all`
//! and for strict reads, D later for all others; where the origin lags, each by D and the lag later. A read must not be below the floors of the moment at which it started.
//! Whatever was acknowledged before a read started has ended before that read did, so its record comes first.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::floors::Floors;
use super::record::{Acknowledged, Floor, Happened, Outcome, Record, Versions};
use super::verdict::{Figures, Promise, Verdict, Violation};
use super::writes;

/// Holds `records` against what they promise.
///
/// # Panics
///
/// If they do not begin with [`Happened::Promise`], are not in the order of their ends, or speak of an event or a version
/// that is not in them: no history of a run.
pub(crate) fn check(records: &[Record]) -> Verdict {
    let Some(Happened::Promise { max_staleness, .. }) = records.first().map(|first| &first.happened) else {
        panic!("a history begins with what it promises")
    };
    assert!(records.is_sorted_by_key(|record| record.ended), "records are in the order of their ends");
    let mut checker = Checker::new(*max_staleness, records);
    for (place, record) in records.iter().enumerate() {
        checker.record(place, record);
    }
    checker.finish()
}

/// Floors of one hardness.
#[derive(Debug, Default)]
struct Kept {
    /// D after an event was known to be logged.
    bounded: Floors,
    /// When `wait=all` has answered.
    everywhere: Floors,
    /// When an event was known to be logged.
    logged: Floors,
}

#[derive(Debug, Default)]
struct Object {
    /// When each version was begun to be committed, and what was committed last.
    commits: HashMap<u64, u64>,
    last: u64,
    /// By so much later everything is due: the origin may not show it before.
    late: u64,
    hard: Kept,
    /// Soft events: they bind whoever is not marked as stale.
    soft: Kept,
    loads: HashMap<Option<u64>, u64>,
}

impl Object {
    fn kept(&mut self, soft: bool) -> &mut Kept {
        if soft { &mut self.soft } else { &mut self.hard }
    }
}

struct Event<'a> {
    started: u64,
    soft: bool,
    covers: &'a Versions,
}

/// What an answer says of itself.
#[derive(Clone, Copy)]
struct Marks {
    stale: bool,
    available: bool,
}

/// What a promise asks of a read.
struct Asked {
    promise: Promise,
    since: u64,
    least: u64,
}

struct Checker<'a> {
    max_staleness: u64,
    objects: HashMap<&'a str, Object>,
    events: HashMap<u64, Event<'a>>,
    settled: Option<u64>,
    /// Who has not answered for what since then, and the first record of that.
    silent: BTreeMap<(&'a str, &'a str), usize>,
    /// Of objects that are written through instances.
    writes: writes::Checker<'a>,
    verdict: Verdict,
}

impl<'a> Checker<'a> {
    /// Commits and events are known from the start: a read may see a version whose commit ends after it.
    fn new(max_staleness: u64, records: &'a [Record]) -> Self {
        let mut objects: HashMap<&str, Object> = HashMap::new();
        let (mut events, mut lags) = (HashMap::new(), HashMap::new());
        for record in records {
            match &record.happened {
                Happened::Commit { object, version } => {
                    let object = objects.entry(object).or_default();
                    object.commits.insert(*version, record.started);
                    object.last = object.last.max(*version);
                }
                Happened::Lag { space, nanos } => drop(lags.insert(space.as_str(), max_staleness + nanos)),
                Happened::Invalidate { event, covers, soft, .. } => {
                    let known = Event { started: record.started, soft: *soft, covers };
                    assert!(events.insert(*event, known).is_none(), "event {event} is there twice");
                }
                _ => {}
            }
        }
        for (name, object) in &mut objects {
            let space = name.split('/').next().unwrap_or_default();
            object.late = lags.get(space).copied().unwrap_or(0);
        }
        let (writes, violations) = writes::Checker::new(max_staleness, records);
        let verdict = Verdict { violations, ..Verdict::default() };
        Self { max_staleness, objects, events, settled: None, silent: BTreeMap::new(), writes, verdict }
    }

    fn figures(&mut self) -> &mut Figures {
        &mut self.verdict.figures
    }

    fn record(&mut self, place: usize, record: &'a Record) {
        match &record.happened {
            Happened::Promise { .. }
            | Happened::Lag { .. }
            | Happened::Commit { .. }
            | Happened::Written { .. }
            | Happened::Delivered { .. }
            | Happened::Dead { .. }
            | Happened::Forgot
            | Happened::Drained => {}
            Happened::Write { write, .. } => self.writes.written(*write, record.ended),
            Happened::Load { object, version } => {
                *self.objects.entry(object).or_default().loads.entry(*version).or_default() += 1;
            }
            Happened::Invalidate { event, way, acknowledged, .. } => {
                let counted = self.figures().events.entry(*way).or_default();
                counted.sent += 1;
                counted.acknowledged += u64::from(*acknowledged != Acknowledged::Unknown);
                self.acknowledged(*event, record, acknowledged);
            }
            Happened::Logged { event } => self.logged(*event, record.ended),
            Happened::Read { instance, object, floor, outcome } => {
                self.count(outcome);
                self.answers(place, record, (instance, object), outcome);
                if self.writes.knows(object) {
                    self.read_written(place, record, object, floor, outcome);
                } else {
                    self.read(place, record, object, floor, outcome);
                }
            }
            Happened::Store { stored, .. } => {
                let (taken, refused) = &mut self.figures().stores;
                *taken += u64::from(*stored == Some(true));
                *refused += u64::from(*stored == Some(false));
            }
            Happened::Fault { fault, recovered, .. } => {
                let fault = self.figures().faults.entry(fault.clone()).or_default();
                fault.struck += 1;
                match recovered {
                    Some(nanos) => fault.recovery.push(*nanos),
                    None => fault.unseen += 1,
                }
            }
            Happened::Settled => self.settled = Some(record.started),
        }
    }

    fn acknowledged(&mut self, event: u64, record: &Record, acknowledged: &Acknowledged) {
        let took = record.ended - record.started;
        match acknowledged {
            Acknowledged::Unknown | Acknowledged::Durable => return,
            Acknowledged::Logged { .. } => {}
            Acknowledged::Everywhere { early, .. } => {
                let figures = self.figures();
                if *early { &mut figures.early } else { &mut figures.late }.push(took);
                self.raise(event, |kept| (&mut kept.everywhere, record.ended));
            }
        }
        self.logged(event, record.ended);
    }

    fn logged(&mut self, event: u64, at: u64) {
        let bound = at.saturating_add(self.max_staleness);
        self.raise(event, |kept| (&mut kept.logged, at));
        self.raise(event, |kept| (&mut kept.bounded, bound));
    }

    fn raise(&mut self, event: u64, which: impl Fn(&mut Kept) -> (&mut Floors, u64)) {
        let event = self.events.get(&event).expect("an event that was logged was sent");
        for (name, version) in event.covers {
            let object = self.objects.get_mut(&**name).expect("what an event covers was committed");
            let late = object.late;
            let (floors, at) = which(object.kept(event.soft));
            floors.raise(at.saturating_add(late), *version);
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        let reads = &mut self.figures().reads;
        reads.all += 1;
        let counted = match outcome {
            Outcome::Value { via, .. } => reads.via.entry(via.clone()).or_default(),
            Outcome::Absent { leased: true } => return,
            Outcome::Absent { leased: false } => reads.via.entry("absent".to_owned()).or_default(),
            Outcome::Refused { code, .. } => reads.refused.entry(code.clone()).or_default(),
            Outcome::Failed { hung: true } => &mut reads.hung,
            Outcome::Failed { hung: false } => &mut reads.failed,
        };
        *counted += 1;
    }

    fn read_written(
        &mut self,
        place: usize,
        record: &'a Record,
        object: &'a str,
        floor: &Floor,
        outcome: &Outcome,
    ) {
        let seen = self.writes.read(record, object, floor, outcome, self.settled);
        let figures = self.figures();
        figures.reads.bound += u64::from(seen.bound);
        if let Some(age) = seen.stale {
            figures.stale.push(age);
        }
        for (promise, text) in seen.broken {
            self.violated(promise, place, object, text);
        }
    }

    fn read(&mut self, place: usize, record: &Record, object: &'a str, floor: &Floor, outcome: &Outcome) {
        let (version, stale, available) = match outcome {
            Outcome::Value { version, stale, available, .. } => (*version, *stale, *available),
            Outcome::Absent { leased: false } => (0, false, false),
            // Nothing was said about the object, as where the client is told to load it.
            Outcome::Absent { leased: true } | Outcome::Refused { .. } | Outcome::Failed { .. } => return,
        };
        let asked = self.asked(record.started, object, floor, Marks { stale, available });
        let known = self.objects.entry(object).or_default();
        let late = known.hard.logged.first_above(version, record.started);
        let mut broken = Vec::new();
        if version != 0 && known.commits.get(&version).is_none_or(|begun| record.ended < *begun) {
            broken.push((Promise::Fabrication, format!("version {version} was never written")));
        }
        for Asked { promise, since, least } in asked.iter().filter(|asked| version < asked.least) {
            let age = Duration::from_nanos(record.started.saturating_sub(*since));
            broken.push((*promise, format!("version {version}, {age:?} after {least} was due")));
        }
        broken.dedup_by_key(|(promise, _)| *promise);
        for (promise, text) in broken {
            self.violated(promise, place, object, text);
        }
        let figures = self.figures();
        figures.available += u64::from(available);
        figures.reads.bound += u64::from(asked.iter().any(|asked| asked.least != 0));
        if let Some(since) = late.filter(|_| !available) {
            figures.stale.push(record.started - since);
        }
    }

    /// What every promise asks of a read that started then.
    fn asked(&mut self, started: u64, object: &'a str, floor: &Floor, marks: Marks) -> Vec<Asked> {
        let known = self.objects.entry(object).or_default();
        let mut asked = Vec::new();
        let mut ask = |promise, (since, least)| asked.push(Asked { promise, since, least });
        for (kept, binds) in [(&known.hard, true), (&known.soft, !marks.stale)] {
            if !binds {
                continue;
            }
            // An instance that is cut off and allowed to answer all the same gives up the bound, and says so.
            if !marks.available {
                ask(Promise::Staleness, kept.bounded.at(started));
                ask(Promise::Everywhere, kept.everywhere.at(started));
            }
            match floor {
                // Another shard's events, or another object's: the log says nothing of what is below them.
                Floor::None | Floor::Write(_) => {}
                Floor::Strict => ask(Promise::Strict, kept.logged.at(started)),
                Floor::Event(event) => {
                    let named = self.events.get(event).expect("a reader names an event that was sent");
                    // What was logged before the event was sent is below it in the log.
                    ask(Promise::OwnWrites, kept.logged.at(named.started));
                }
            }
        }
        if let Floor::Event(event) = floor {
            let named = &self.events[event];
            let due = named.started.saturating_add(known.late);
            if !(named.soft && marks.stale) && (known.late == 0 || due <= started) {
                ask(Promise::OwnWrites, (due, named.covers.get(object).copied().unwrap_or(0)));
            }
        }
        if let Some(since) = self.settled.filter(|since| *since <= started) {
            ask(Promise::Convergence, (since, known.last));
        }
        asked
    }

    fn violated(&mut self, promise: Promise, place: usize, object: &str, text: String) {
        let object = object.to_owned();
        self.verdict.violations.push(Violation { promise, record: place, object, text });
    }

    /// Once everything is quiet, everybody answers in the end.
    fn answers(&mut self, place: usize, record: &Record, at: (&'a str, &'a str), outcome: &Outcome) {
        if self.settled.is_none_or(|since| record.started < since) {
            return;
        }
        match outcome {
            Outcome::Value { .. } | Outcome::Absent { .. } => drop(self.silent.remove(&at)),
            Outcome::Refused { .. } | Outcome::Failed { .. } => drop(self.silent.entry(at).or_insert(place)),
        }
    }

    fn finish(mut self) -> Verdict {
        for ((instance, object), place) in std::mem::take(&mut self.silent) {
            self.violated(Promise::Convergence, place, object, format!("{instance} never answers"));
        }
        let loads = &mut self.verdict.figures.loads;
        for count in self.objects.values().flat_map(|object| object.loads.values()) {
            loads.all += count;
            loads.versions += 1;
            loads.most = loads.most.max(*count);
        }
        self.verdict.figures.writes = self.writes.figures;
        self.verdict
    }
}
