//! Seeds that every run of the tests goes through, and those that one asks for: `make simulate SEED=7`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::run::{Ended, run};

/// Seeds that fit into the tests of everyday.
const SEEDS: u64 = 5_000;
/// Broken seeds after which no more are looked for.
const BROKEN_MAX: usize = 5;

/// What many seeds came to.
#[derive(Default)]
struct Tally {
    broken: BTreeMap<u64, String>,
    reads: u64,
    events: u64,
    loads: u64,
    faults: BTreeMap<String, u64>,
    via: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, seed: u64, ended: &Ended) {
        let Ended { records, verdict } = ended;
        if let Some(first) = verdict.violations.first() {
            let (count, told) = (verdict.violations.len(), first.explain(records));
            self.broken.insert(seed, format!("SEED={seed}: {count} violations\n{told}"));
        }
        let figures = &verdict.figures;
        self.reads += figures.reads.all;
        self.events += figures.events.values().map(|of| of.sent).sum::<u64>();
        self.loads += figures.loads.all;
        for (fault, of) in &figures.faults {
            *self.faults.entry(fault.clone()).or_default() += of.struck;
        }
        for (via, count) in &figures.reads.via {
            *self.via.entry(via.clone()).or_default() += count;
        }
    }
}

/// Runs so many seeds from the first on, spread over the cores; says how many it came to.
fn simulate(first: u64, count: u64) -> (Tally, u64) {
    let (next, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let seed = next.fetch_add(1, SeqCst);
            if first + count <= seed || BROKEN_MAX <= lock().broken.len() {
                return;
            }
            match catch_unwind(|| run(seed)) {
                Ok(ended) => lock().add(seed, &ended),
                Err(_) => drop(lock().broken.insert(seed, format!("SEED={seed}: it panicked, see above"))),
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let ran = next.into_inner().min(first + count) - first;
    (tally.into_inner().unwrap_or_else(PoisonError::into_inner), ran)
}

#[test]
#[expect(clippy::print_stdout, reason = "whoever runs many seeds wants to see what they came to")]
fn no_seed_breaks_a_promise() {
    let asked = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let (first, count) = match asked("SIM_SEED") {
        Some(seed) => (seed, asked("SIM_SEEDS").unwrap_or(1)),
        None => (0, asked("SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let began = tokio::time::Instant::now();
    let (tally, ran) = simulate(first, count);
    let mut told = String::new();
    for text in tally.broken.values() {
        writeln!(told, "{text}").expect("a string takes all");
    }
    println!(
        "{ran} seeds in {:?}: {} reads, {} events, {} loads, {} broken\nfaults {:?}\nanswers {:?}",
        began.elapsed(),
        tally.reads,
        tally.events,
        tally.loads,
        tally.broken.len(),
        tally.faults,
        tally.via,
    );
    assert!(tally.broken.is_empty(), "make simulate with\n{told}");
}

#[test]
fn a_seed_has_one_course() {
    for seed in 1000..1020 {
        let (first, second) = (run(seed).records, run(seed).records);
        let differ = first.iter().zip(&second).position(|(first, second)| first != second);
        if let Some(at) = differ {
            panic!("seed {seed} has two courses from record {at} on:\n{:?}\n{:?}", first[at], second[at]);
        }
        assert_eq!(first.len(), second.len());
    }
}
