//! Chaos: a workload on real instances through a real server while things break, and its history held against the
//! promises.

mod aside;
mod books;
mod client;
mod counters;
mod faults;
mod observer;
mod races;
mod readers;
mod run;
mod spaces;
mod ways;
mod workload;
mod world;

use std::time::Duration;

use run::{Ran, run};
use world::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_no_promise_is_broken() {
    let Ran { records, verdict } = run(Setup::new(3, 1), Duration::from_secs(8)).await;
    let explained: Vec<String> =
        verdict.violations.iter().take(3).map(|violation| violation.explain(&records)).collect();
    assert!(verdict.violations.is_empty(), "{}", explained.join("\n"));
    eprintln!("{:#?}", verdict.figures);
}
