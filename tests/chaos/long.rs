//! The long form, `make chaos`: one world after the other, each from a seed of its own, until the time is over.

use std::env;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::faults::Kind;
use super::report::Report;
use super::{judge, plan};
use crate::history::{Record, check};

/// The longest run of one world.
const WORLD_MAX: Duration = Duration::from_secs(90);
/// A world is not worth starting for less.
const WORLD_MIN: Duration = Duration::from_secs(10);

/// What is asked for.
struct Asked {
    length: Duration,
    seed: u64,
    kinds: Vec<Kind>,
}

impl Asked {
    /// `CHAOS_SECONDS`, `CHAOS_SEED` and `CHAOS_FAULTS`; `None` without the first: nothing is.
    ///
    /// # Panics
    ///
    /// If one of them is not what it should be.
    fn read() -> Option<Self> {
        let given = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
        let number = |name: &str, text: String| -> u64 {
            text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`"))
        };
        let length = Duration::from_secs(number("SECONDS", given("CHAOS_SECONDS")?));
        let seed =
            given("CHAOS_SEED").map_or_else(|| rand::random_range(0..1 << 32), |text| number("SEED", text));
        let kinds = given("CHAOS_FAULTS").map_or_else(
            || Kind::ALL.to_vec(),
            |names| {
                let kinds = names.split([',', ' ']).filter(|name| !name.is_empty());
                let kind = |name: &str| name.parse().unwrap_or_else(|error| panic!("FAULTS: {error}"));
                kinds.filter(|name| *name != "none").map(kind).collect()
            },
        );
        Some(Self { length, seed, kinds })
    }
}

/// Only `make chaos` asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the report is what it is for")]
async fn for_as_long_as_asked_no_promise_is_broken() {
    let Some(Asked { length, seed, kinds }) = Asked::read() else { return };
    let mut report = Report::default();
    let end = Instant::now() + length;
    let mut seeds = StdRng::seed_from_u64(seed);
    // The first world's seed is the one that was given: a world that failed is made again by its own.
    let (mut next, mut broken) = (seed, 0);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let world = left.min(WORLD_MAX);
        eprintln!("chaos: seed {next}, {} s", world.as_secs());
        let ran = judge(plan(next, world, kinds.clone())).await;
        report.add(next, world, &ran);
        broken += ran.verdict.violations.len();
        // What comes after a broken promise shows nothing more.
        if broken != 0 || end.saturating_duration_since(Instant::now()) < WORLD_MIN {
            break;
        }
        next = seeds.random_range(0..1 << 32);
    }
    eprintln!("{report}");
    assert_eq!(broken, 0, "promises were broken");
}

/// For whoever looks into a history that was kept, or into the checker.
#[test]
#[ignore = "looks into a history that was kept: CHAOS_HISTORY is its file"]
#[expect(clippy::print_stderr, reason = "what it says is what it is for")]
fn a_history_that_was_kept_is_judged_again() {
    let file = env::var("CHAOS_HISTORY").expect("CHAOS_HISTORY names a file");
    let lines = std::fs::read_to_string(&file).expect("the history can be read");
    let record = |line: &str| serde_json::from_str(line).expect("a line is a record");
    let records: Vec<Record> = lines.lines().map(record).collect();
    let verdict = check(&records);
    for violation in &verdict.violations {
        eprintln!("{}: {} of {}", violation.promise, violation.text, violation.object);
    }
    assert_eq!(verdict.violations.len(), 0, "promises were broken");
}
