//! Chaos: a workload on real instances through a real server while things break, and its history held against the
//! promises.
//!
//! Each run is a world of its own, made from a seed: `world` is what stands there, `workload` who uses it, `faults` what
//! breaks it, `run` how it goes from the start to the verdict, `report` what is said of many.

mod aside;
mod books;
mod client;
mod counters;
mod drain;
mod failover;
mod faults;
mod ledger;
mod long;
mod observer;
mod races;
mod reader;
mod readers;
mod report;
mod run;
mod shared;
mod short;
mod spaces;
mod ways;
mod workload;
mod world;
mod writers;
mod written;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faults::Kind;
use run::{Plan, Ran, run};

/// Violations that are explained.
const EXPLAINED_MAX: usize = 3;

/// A run from that seed, whose history goes where the build's own temporary files are.
fn plan(seed: u64, length: Duration, kinds: Vec<Kind>) -> Plan {
    let name = format!("chaos-{seed}-{}.jsonl", std::process::id());
    Plan { seed, length, kinds, file: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name) }
}

/// Makes a run. Its history is kept where something was wrong, for whoever looks into it.
#[expect(clippy::print_stderr, reason = "whoever sees a test fail needs the seed and the history")]
async fn judge(plan: Plan) -> Ran {
    let told = Told { seed: plan.seed, file: plan.file.clone() };
    let ran = run(plan).await;
    let violations = &ran.verdict.violations;
    if violations.is_empty() {
        // Nobody misses it.
        fs::remove_file(&told.file).ok();
    } else {
        let explained = violations.iter().take(EXPLAINED_MAX);
        let explained: Vec<String> = explained.map(|violation| violation.explain(&ran.records)).collect();
        eprintln!("{told}: {} violations\n{}", violations.len(), explained.join("\n"));
    }
    ran
}

/// Whose history it is. Said in any case where a run does not come to its end.
struct Told {
    seed: u64,
    file: PathBuf,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chaos: seed {}, history in {}", self.seed, self.file.display())
    }
}

impl Drop for Told {
    #[expect(clippy::print_stderr, reason = "whoever sees a test fail needs the seed and the history")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{self}");
        }
    }
}
