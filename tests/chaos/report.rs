//! The report of one run or of many together: what was done, what broke, and what was found.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::counters::Counters;
use super::run::Ran;
use crate::history::{Durations, Figures, Promise, Writes};

const FILLS: &str = "coherd_fills_rejected_total";
const LAG: &str = "coherd_invalidation_lag_seconds";

/// Runs, summed.
#[derive(Default)]
pub(super) struct Report {
    seeds: Vec<u64>,
    length: Duration,
    server: String,
    figures: Figures,
    violations: BTreeMap<Promise, usize>,
    counters: Counters,
}

impl Report {
    /// Adds a run.
    pub(super) fn add(&mut self, seed: u64, length: Duration, ran: &Ran) {
        self.seeds.push(seed);
        self.length += length;
        self.server.clone_from(&ran.server);
        self.counters.add(&ran.counters);
        for promise in Promise::ALL {
            *self.violations.entry(promise).or_default() += ran.verdict.broken(promise);
        }
        merge(&mut self.figures, &ran.verdict.figures);
    }
}

/// Adds the figures of another history.
fn merge(sum: &mut Figures, other: &Figures) {
    sum.reads.all += other.reads.all;
    sum.reads.bound += other.reads.bound;
    sum.reads.failed += other.reads.failed;
    sum.reads.hung += other.reads.hung;
    count(&mut sum.reads.via, &other.reads.via);
    count(&mut sum.reads.refused, &other.reads.refused);
    sum.stale.merge(&other.stale);
    sum.available += other.available;
    for (way, events) in &other.events {
        let of_way = sum.events.entry(*way).or_default();
        of_way.sent += events.sent;
        of_way.acknowledged += events.acknowledged;
    }
    sum.early.merge(&other.early);
    sum.late.merge(&other.late);
    sum.stores.0 += other.stores.0;
    sum.stores.1 += other.stores.1;
    merge_writes(&mut sum.writes, &other.writes);
    sum.loads.all += other.loads.all;
    sum.loads.versions += other.loads.versions;
    sum.loads.most = sum.loads.most.max(other.loads.most);
    for (name, faults) in &other.faults {
        let of_kind = sum.faults.entry(name.clone()).or_default();
        of_kind.struck += faults.struck;
        of_kind.unseen += faults.unseen;
        of_kind.recovery.merge(&faults.recovery);
    }
}

fn merge_writes(sum: &mut Writes, other: &Writes) {
    for (mode, (asked, taken)) in &other.asked {
        let of_mode = sum.asked.entry(*mode).or_default();
        of_mode.0 += asked;
        of_mode.1 += taken;
    }
    count(&mut sum.kept, &other.kept);
    sum.applied += other.applied;
    sum.coalesced += other.coalesced;
    sum.superseded += other.superseded;
    sum.dead += other.dead;
    sum.forgotten += other.forgotten;
    sum.lost += other.lost;
    sum.repeated += other.repeated;
    sum.drained.merge(&other.drained);
}

fn count(sum: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (name, more) in other {
        *sum.entry(name.clone()).or_default() += more;
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { reads, stale, events, early, late, loads, faults, .. } = &self.figures;
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let length = humantime::format_duration(Duration::from_secs(self.length.as_secs()));
        writeln!(f, "chaos: {} worlds of 3 to 5 instances, {length} in all, {}", seeds.len(), self.server)?;
        writeln!(f, "  seeds               {}", seeds.join(" "))?;
        writeln!(f, "  reads               {}, {} of them bound by a promise", reads.all, reads.bound)?;
        writeln!(f, "    answered          {}", list(&reads.via))?;
        let unanswered = format!("no connection {}, hung {}", reads.failed, reads.hung);
        writeln!(
            f,
            "    not answered      {unanswered}{}{}",
            if reads.refused.is_empty() { "" } else { ", " },
            list(&reads.refused)
        )?;
        let sent: u64 = events.values().map(|events| events.sent).sum();
        let ways: BTreeMap<String, u64> =
            events.iter().map(|(way, events)| (way.to_string(), events.sent)).collect();
        writeln!(f, "  events              {sent}: {}", list(&ways))?;
        let struck: u64 = faults.values().map(|faults| faults.struck).sum();
        writeln!(
            f,
            "  faults              {struck}, recovered after (median, most; where no other began before)"
        )?;
        for (name, faults) in faults {
            let times = if faults.recovery.count() == 0 {
                String::new()
            } else {
                spread(&faults.recovery, &[500, 1000])
            };
            writeln!(f, "    {name:<17} {:>4}  {times}", faults.struck)?;
        }
        writeln!(f, "  violations          {}", self.violations.values().sum::<usize>())?;
        for (promise, broken) in &self.violations {
            writeln!(f, "    {:<28} {broken}", promise.to_string())?;
        }
        let ages = if stale.count() == 0 {
            String::new()
        } else {
            format!(", older by {} (p50, p99, most)", spread(stale, &[500, 990, 1000]))
        };
        writeln!(f, "  stale in the bound  {}{ages}", stale.count())?;
        writeln!(f, "  propagation         {} (p50, p99, p99.9: upper bounds of {LAG})", self.lag())?;
        let waits = |waits: &Durations| {
            if waits.count() == 0 {
                "0".to_owned()
            } else {
                format!("{} in {}", waits.count(), spread(waits, &[500, 990]))
            }
        };
        writeln!(f, "  wait=all            early {}; late {} (p50, p99)", waits(early), waits(late))?;
        let refused = self.counters.by(FILLS, "cause");
        let refused = refused.into_iter().map(|(cause, fills)| (cause, whole(fills))).collect();
        writeln!(f, "  fills refused       {}", list(&refused))?;
        let (stored, lost) = self.figures.stores;
        writeln!(f, "  leases              {stored} stores taken, {lost} refused")?;
        self.writes(f)?;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let mean = loads.all as f64 / loads.versions.max(1) as f64;
        write!(
            f,
            "  origin              {} loads, {mean:.2} for a version that was loaded, {} at the most",
            loads.all, loads.most
        )
    }
}

impl Report {
    fn writes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Writes { asked, kept, applied, coalesced, superseded, dead, forgotten, lost, repeated, drained } =
            &self.figures.writes;
        let (all, taken) = asked.values().fold((0, 0), |sum, mode| (sum.0 + mode.0, sum.1 + mode.1));
        let modes: BTreeMap<String, u64> =
            asked.iter().map(|(mode, (asked, _))| (mode.to_string(), *asked)).collect();
        writeln!(f, "  writes              {all}, {taken} of them acknowledged: {}", list(&modes))?;
        writeln!(f, "    while pending     kept by {}", list(kept))?;
        writeln!(
            f,
            "    acknowledged      applied {applied}, superseded {} ({superseded} of them at the origin), dead {dead}, \
             gone with what the server forgot {forgotten}, lost {lost}",
            coalesced + superseded
        )?;
        writeln!(
            f,
            "    at the origin     repeated {repeated}; drained after {} (median, most)",
            spread(drained, &[500, 1000])
        )
    }

    fn lag(&self) -> String {
        let bounds = [500, 990, 999].map(|per_mille| match self.counters.quantile(LAG, per_mille) {
            None => "-".to_owned(),
            Some(seconds) if seconds.is_finite() => time(Duration::from_secs_f64(seconds)),
            Some(_) => "over 10s".to_owned(),
        });
        bounds.join(", ")
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is a whole number")]
fn whole(counter: f64) -> u64 {
    counter as u64
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let mut text = String::new();
    for (name, count) in counts {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{name} {count}").expect("a string takes whatever is written");
    }
    text
}

fn spread(durations: &Durations, per_mille: &[usize]) -> String {
    let times: Vec<String> =
        per_mille.iter().map(|rank| time(Duration::from_nanos(durations.quantile(*rank)))).collect();
    times.join(", ")
}

/// Three digits are enough.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        1.0.. => format!("{seconds:.2}s"),
        0.01.. => format!("{:.0}ms", seconds * 1e3),
        0.001.. => format!("{:.1}ms", seconds * 1e3),
        _ => format!("{:.0}us", seconds * 1e6),
    }
}
