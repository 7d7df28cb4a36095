//! What the checker found: violations, and the figures of a report.

use std::collections::BTreeMap;
use std::fmt;

use super::record::{Happened, Record, Way};
use super::written::Mode;

/// What is promised, by the numbers of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Promise {
    /// What is read was written before.
    Fabrication,
    /// P1: nothing older than what was logged longer than D ago.
    Staleness,
    /// P2: nothing older than what `wait=all` has acknowledged.
    Everywhere,
    /// P3: nothing older than the event that the reader named.
    OwnWrites,
    /// P3: nothing older than what was logged before a strict read arrived.
    Strict,
    /// P4: once everything is quiet, everybody answers, and with the last version.
    Convergence,
    /// P5: what was taken is at the origin, or superseded, or a dead letter.
    Kept,
    /// P5: writes of an object take effect in the order in which they were taken.
    Order,
    /// P5: no write takes effect again after another.
    Once,
}

impl Promise {
    /// All of them, in the order of a report.
    pub(crate) const ALL: [Self; 9] = [
        Self::Fabrication,
        Self::Staleness,
        Self::Everywhere,
        Self::OwnWrites,
        Self::Strict,
        Self::Convergence,
        Self::Kept,
        Self::Order,
        Self::Once,
    ];
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fabrication => "nothing made up",
            Self::Staleness => "P1 bounded staleness",
            Self::Everywhere => "P2 acknowledged everywhere",
            Self::OwnWrites => "P3 own writes",
            Self::Strict => "P3 strict reads",
            Self::Convergence => "P4 convergence",
            Self::Kept => "P5 no write lost",
            Self::Order => "P5 writes in order",
            Self::Once => "P5 no write twice",
        })
    }
}

/// A read or a write that broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which promise.
    pub(crate) promise: Promise,
    /// Its place in the history.
    pub(crate) record: usize,
    /// The object.
    pub(crate) object: String,
    /// What it should have been.
    pub(crate) text: String,
}

impl Violation {
    /// The violation and what happened to its object just before it, a line each; where a write is lost, what happened
    /// to its object but for reads, from it on.
    pub(crate) fn explain(&self, records: &[Record]) -> String {
        const LINES_MAX: usize = 60;
        let lost = self.promise == Promise::Kept;
        let upto = records.len().min(self.record + 1);
        let shown = if lost { &records[self.record.min(records.len())..] } else { &records[..upto] };
        let read = |record: &Record| matches!(record.happened, Happened::Read { .. } | Happened::Load { .. });
        let mut about: Vec<&Record> = (shown.iter())
            .filter(|record| record.happened.concerns(&self.object) && !(lost && read(record)))
            .collect();
        if !lost {
            about.reverse();
        }
        about.truncate(LINES_MAX);
        if !lost {
            about.reverse();
        }
        let lines: Vec<String> = about.into_iter().map(|record| format!("  {record:?}")).collect();
        format!("{}: {} of {}\n{}", self.promise, self.text, self.object, lines.join("\n"))
    }
}

/// Durations, in nanoseconds, of which a report wants quantiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durations(Vec<u64>);

impl Durations {
    /// One more.
    pub(crate) fn push(&mut self, nanos: u64) {
        self.0.push(nanos);
    }

    /// Those of another run as well.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest of them that at least `per_mille` thousandths do not exceed; 0 of none.
    pub(crate) fn quantile(&self, per_mille: usize) -> u64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
        sorted.get(rank - 1).copied().unwrap_or(0)
    }
}

/// How the reads ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// All.
    pub(crate) all: u64,
    /// Those that some promise had something to say about.
    pub(crate) bound: u64,
    /// Answered with a value, by the tier or reason of `Cache-Status`.
    pub(crate) via: BTreeMap<String, u64>,
    /// Refused, by the problem's code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Without an answer, because the instance was gone.
    pub(crate) failed: u64,
    /// Without an answer for the whole time-out.
    pub(crate) hung: u64,
}

/// One way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// Sent.
    pub(crate) sent: u64,
    /// Acknowledged, in whatever way.
    pub(crate) acknowledged: u64,
}

/// How often the origin was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loads {
    /// Loads.
    pub(crate) all: u64,
    /// Versions of objects that were loaded at all.
    pub(crate) versions: u64,
    /// Loads of the one that was loaded most often.
    pub(crate) most: u64,
}

/// Writes through instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes {
    /// Asked for, and acknowledged, by what they mean.
    pub(crate) asked: BTreeMap<Mode, (u64, u64)>,
    /// Acknowledged while they were pending, by what was said to have them.
    pub(crate) kept: BTreeMap<String, u64>,
    /// Acknowledged ones that took effect at the origin.
    pub(crate) applied: u64,
    /// Acknowledged ones that a newer one took the place of before they reached the origin.
    pub(crate) coalesced: u64,
    /// Acknowledged ones that reached the origin behind a newer one.
    pub(crate) superseded: u64,
    /// Acknowledged ones that are dead letters.
    pub(crate) dead: u64,
    /// Acknowledged ones that went with what the server lost.
    pub(crate) forgotten: u64,
    /// Acknowledged ones that nobody knows of any more, without any such reason.
    pub(crate) lost: u64,
    /// Sent to the origin again after they had taken effect, without any.
    pub(crate) repeated: u64,
    /// From when nothing was broken any more until nothing was pending.
    pub(crate) drained: Durations,
}

/// A kind of fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// How often it struck.
    pub(crate) struck: u64,
    /// From mended to everybody level again.
    pub(crate) recovery: Durations,
    /// How often nobody saw everybody level again before the next fault.
    pub(crate) unseen: u64,
}

/// What a history says beside its violations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Reads.
    pub(crate) reads: Reads,
    /// Reads older than an event that was acknowledged before they began, within the bound: by how much.
    pub(crate) stale: Durations,
    /// Reads answered out of a copy by an instance that is cut off and allowed to, and marked so.
    pub(crate) available: u64,
    /// By way in.
    pub(crate) events: BTreeMap<Way, Events>,
    /// `wait=all` answered because every member confirmed: how long it took.
    pub(crate) early: Durations,
    /// `wait=all` answered because every lease was over.
    pub(crate) late: Durations,
    /// Stores under a lease that were taken, and refused.
    pub(crate) stores: (u64, u64),
    /// The origin's work.
    pub(crate) loads: Loads,
    /// Writes through instances.
    pub(crate) writes: Writes,
    /// By kind.
    pub(crate) faults: BTreeMap<String, Faults>,
}

/// What the checker says of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// None, in a good one.
    pub(crate) violations: Vec<Violation>,
    /// What it says beside.
    pub(crate) figures: Figures,
}

impl Verdict {
    /// How often a promise was broken.
    pub(crate) fn broken(&self, promise: Promise) -> usize {
        self.violations.iter().filter(|violation| violation.promise == promise).count()
    }
}
