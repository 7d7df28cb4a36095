//! Entries are read from a replica that lags, stands still and dies under load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::books::Books;
use super::ledger::Ledger;
use super::run::settle;
use super::workload::Workload;
use super::world::{Setup, World};
use crate::harness::proxy::Proxy;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};
use crate::history::check;

/// For how long each trouble lasts, and what is between.
const HOLD: Duration = Duration::from_secs(2);
const SEED: u64 = 31;

/// How many reads the replica has answered.
async fn reads(replica: &Server) -> u64 {
    let stats = replica.command(&["INFO", "commandstats"]).await.text();
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}

/// Waits until some more reads have come to it.
async fn is_read_from(replica: &Server) -> u64 {
    let before = reads(replica).await;
    eventually("the replica is read from", SOON, async || before + 20 < reads(replica).await).await;
    reads(replica).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "whoever sees it fail needs the history")]
async fn while_a_replica_lags_stands_still_and_dies_no_promise_is_broken() {
    let server = Server::start().await;
    let link = Proxy::start(server.addr()).await;
    let mut replica = server.replica(link.addr()).await;
    replica.follows().await;
    let name = format!("reader-{SEED}-{}.jsonl", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut setup = Setup::new(3, SEED);
    setup.file = Some(file.clone());
    setup.settings = vec![("backend.reader_url", replica.url_at(replica.addr()))];
    let url = server.url_at(server.addr());
    setup.running = Some((server, url));
    let world = Arc::new(World::start(setup).await);
    let books = Arc::new(Books::open(Arc::clone(&world)));
    let ledger = Arc::new(Ledger::new(&world));
    let mut workload = Workload::start(&world, &books, &ledger);

    let mut read = is_read_from(&replica).await;
    // It has what was, and hears of nothing new; nobody can tell for the first seconds.
    for _ in 0..2 {
        link.stall();
        sleep(HOLD).await;
        link.restore().await;
        replica.follows().await;
        read = is_read_from(&replica).await;
    }
    replica.pause();
    sleep(HOLD).await;
    replica.resume();
    is_read_from(&replica).await;
    replica.kill().await;
    sleep(HOLD).await;
    replica.restart().await;
    replica.follows().await;
    is_read_from(&replica).await;

    workload.stop().await;
    let drained = settle(&world, &books, &ledger).await;
    workload.end().await;
    drop((books, ledger));
    let records = Arc::into_inner(world).expect("everybody has ended").end().await;
    let verdict = check(&records);
    let bound = verdict.figures.reads.bound;
    eprintln!("reader: {bound} reads held against the promises, more than {read} of the replica's entries");
    for violation in verdict.violations.iter().take(3) {
        eprintln!("{}\nseed {SEED}, history in {}", violation.explain(&records), file.display());
    }
    assert!(verdict.violations.is_empty(), "promises were broken");
    assert!(drained, "writes are pending for good");
    assert!(300 < bound, "{:?}", verdict.figures.reads);
    std::fs::remove_file(file).ok();
}
