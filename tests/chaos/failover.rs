//! Sentinels put another server in the primary's place under load, by all the ways in which that comes about.

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::books::Books;
use super::faults::recovered;
use super::ledger::Ledger;
use super::run::settle;
use super::workload::Workload;
use super::world::{Setup, World};
use crate::harness::sentinel::Watched;
use crate::harness::server::Options;
use crate::history::{Happened, Promise, check};

/// For how long a primary does not answer before the sentinels think that it is down.
const DOWN_AFTER: Duration = Duration::from_millis(1500);
/// Before the failover, and after all is well again.
const LOAD: Duration = Duration::from_secs(3);

/// What happens to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is killed, and comes back as an isolated primary.
    Killed,
    /// It hands over to a replica, as an operator asks.
    Asked,
    /// It stands still until another has its place, and goes on as an isolated primary.
    Stopped,
}

/// Three instances under load, a failover, and peace.
#[expect(clippy::print_stderr, reason = "how long it took is what README tells")]
async fn fails_over(way: Way, seed: u64, on_failover: &str) {
    // The primary that is left behind must not go on alone: without this its leases last until it is demoted.
    let options = Options::default().min_replicas(1).set("min-replicas-max-lag", "3");
    let mut watched = Watched::start(options, DOWN_AFTER).await;
    let mut setup = Setup::new(3, seed);
    let name = format!("failover-{seed}-{}.jsonl", std::process::id());
    setup.settings = vec![("coherence.on_failover", on_failover.to_owned())];
    setup.file = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    let file = setup.file.clone().expect("just set");
    let first = watched.servers[0].addr();
    setup.running = Some((watched.take(first), watched.url()));
    let world = Arc::new(World::start(setup).await);
    let books = Arc::new(Books::open(Arc::clone(&world)));
    let ledger = Arc::new(Ledger::new(&world));
    let mut workload = Workload::start(&world, &books, &ledger);
    sleep(LOAD).await;

    let (began, started) = (Instant::now(), world.history().now());
    let broken = world.broken.begin();
    match way {
        Way::Killed => world.server.lock().await.kill().await,
        Way::Asked => watched.fail_over().await,
        Way::Stopped => world.server.lock().await.pause(),
    }
    let second = watched.primary_but(Some(first)).await;
    let replaced = began.elapsed();
    world.primary.send_replace(second);
    let mut old = mem::replace(&mut **world.server.lock().await, watched.take(second));
    world.history().record(started, Happened::Forgot);
    drop(broken);
    let recovery = recovered(&world).await.expect("nothing else breaks");
    let all = began.elapsed();
    match way {
        Way::Killed => old.restart().await,
        Way::Asked => {}
        Way::Stopped => old.resume(),
    }
    old.follows().await;
    sleep(LOAD).await;
    workload.stop().await;
    let fault = format!("failover-{way:?}").to_lowercase();
    let took = u64::try_from(recovery.as_nanos()).expect("it is short");
    let target = "server".to_owned();
    world.history().record(started, Happened::Fault { fault, target, recovered: Some(took) });
    let drained = settle(&world, &books, &ledger).await;
    workload.end().await;
    drop((books, ledger));
    let world = Arc::into_inner(world).expect("everybody has ended");
    let server = world.server_version().await;
    let records = world.end().await;
    let verdict = check(&records);
    let broken: Vec<String> =
        Promise::ALL.into_iter().map(|promise| format!("{promise} {}", verdict.broken(promise))).collect();
    eprintln!(
        "failover ({on_failover}): {way:?} on {server}: another primary after {replaced:.1?}, all instances well after {all:.1?}; \
         {} reads held against the promises, broken: {}",
        verdict.figures.reads.bound,
        broken.join(", ")
    );
    for violation in verdict.violations.iter().take(3) {
        eprintln!("{}\nseed {seed}, history in {}", violation.explain(&records), file.display());
    }
    assert!(verdict.violations.is_empty(), "promises were broken");
    assert!(drained, "writes are pending for good");
    assert!(300 < verdict.figures.reads.bound, "{:?}", verdict.figures.reads);
    std::fs::remove_file(file).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_replaced_by_sentinels_and_no_promise_is_broken() {
    fails_over(Way::Killed, 21, "flush").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hands_over_is_followed_and_no_promise_is_broken() {
    fails_over(Way::Asked, 22, "flush").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_stood_still_comes_back_alone_and_no_promise_is_broken() {
    fails_over(Way::Stopped, 23, "flush").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_over_a_kill_breaks_no_promise() {
    fails_over(Way::Killed, 24, "verify").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_where_a_primary_hands_over_breaks_no_promise() {
    fails_over(Way::Asked, 25, "verify").await;
}
