//! Stale-if-error: a failing origin is covered, and not asked for every read.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{expired, read, refreshes, total};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::wait::{SOON, eventually};

/// How long the failing origin is read from.
const WHILE: Duration = Duration::from_secs(3);

fn setup(instances: usize) -> Setup {
    Setup::new(instances).namespace("ttl_jitter", 0.0).namespace("origin.retries", 0)
}

fn failing() -> Behaviour {
    Behaviour { fault: Some(Fault::Status(500)), ..Behaviour::default() }
}

/// How many loads an instance may make of one key that fails for so long: the shortest pauses are 100 ms, and twice as
/// long after each failure.
fn loads_at_most(time: Duration) -> u64 {
    let mut pauses = Duration::ZERO;
    let mut loads = 1;
    while pauses < time {
        pauses += Duration::from_millis(100) * (1 << (loads - 1).min(4));
        loads += 1;
    }
    loads
}

/// Reads `k` on every instance for a while: all answers are the stale copy. How many reads and loads that were, and how
/// long it took.
async fn read_while_it_fails(cluster: &Cluster) -> (u64, u64, Duration) {
    let (loads, began, mut reads) = (cluster.origin.reads("k"), Instant::now(), 0);
    while began.elapsed() < WHILE {
        for node in &cluster.nodes {
            assert_eq!(read(&node.instance, "k").await, (200, Some(1), "stale".to_owned()));
            reads += 1;
        }
    }
    (reads, cluster.origin.reads("k") - loads, began.elapsed())
}

#[tokio::test]
async fn an_origin_that_fails_is_asked_less_and_less_and_covered_meanwhile() {
    let cluster = Cluster::with(setup(2).namespace("stale_if_error", "10m")).await;
    expired(&cluster, "k", &[0]).await;
    cluster.origin.behave("k", failing());
    let (reads, loads, took) = read_while_it_fails(&cluster).await;
    assert!(2 <= loads && loads <= 2 * loads_at_most(took), "{loads} loads for {reads} reads in {took:?}");
    assert!(4 * loads_at_most(took) < reads, "{reads} reads in {took:?} show nothing");

    // It is asked again before long, and what it says then is for all.
    cluster.origin.behave("k", Behaviour::default());
    let version = cluster.origin.bump("k");
    for node in &cluster.nodes {
        eventually("the new version is there", SOON, async || {
            read(&node.instance, "k").await.1 == Some(version)
        })
        .await;
    }
}

#[tokio::test]
async fn refreshes_of_an_origin_that_fails_become_rare_too() {
    let cluster = Cluster::with(setup(2).namespace("stale_while_revalidate", "10m")).await;
    expired(&cluster, "k", &[0, 1]).await;
    cluster.origin.behave("k", failing());
    let (reads, loads, took) = read_while_it_fails(&cluster).await;
    assert!(2 <= loads && loads <= 2 * loads_at_most(took), "{loads} loads for {reads} reads in {took:?}");
    let failed = total(&cluster, &refreshes("failed")).await;
    assert!(1.5 < failed, "{failed} refreshes are said to have failed");
}

#[tokio::test]
async fn a_refresh_at_an_origin_that_hangs_ends_in_time_gives_up_its_lease_and_is_counted() {
    let setup = setup(3).namespace("stale_while_revalidate", "10m").namespace("origin.timeout", "700ms");
    let cluster = Cluster::with(setup.namespace("lease", "60s")).await;
    expired(&cluster, "k", &[0, 1, 2]).await;
    cluster.origin.behave("k", Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    let timeouts = format!("coherd_origin_requests_total{{namespace=\"{NAMESPACE}\",outcome=\"timeout\"}}");
    eventually("several refreshes have been given up", SOON, async || {
        for node in &cluster.nodes {
            assert_eq!(read(&node.instance, "k").await, (200, Some(1), "stale".to_owned()));
        }
        1.5 < total(&cluster, &timeouts).await && 1.5 < total(&cluster, &refreshes("failed")).await
    })
    .await;
    cluster.origin.behave("k", Behaviour::default());
    let version = cluster.origin.bump("k");
    for node in &cluster.nodes {
        eventually("the new version is there, long before any lease is over", SOON, async || {
            read(&node.instance, "k").await.1 == Some(version)
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_hard_event_hit_is_not_answered_in_place_of_a_failing_origin() {
    let cluster = Cluster::with(setup(2).namespace("stale_if_error", "10m")).await;
    expired(&cluster, "k", &[0, 1]).await;
    cluster.origin.behave("k", failing());
    for node in &cluster.nodes {
        assert_eq!(read(&node.instance, "k").await.2, "stale");
    }
    let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
    assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    for node in &cluster.nodes {
        assert_eq!(read(&node.instance, "k").await.0, 502);
    }
    // Whoever waits for an answer is not made to wait for a pause.
    cluster.origin.behave("k", Behaviour::default());
    for node in &cluster.nodes {
        assert_eq!(read(&node.instance, "k").await.0, 200);
    }
}

#[tokio::test]
async fn without_l1_the_copy_in_l2_is_answered_and_the_origin_left_alone_all_the_same() {
    let cluster =
        Cluster::with(setup(1).namespace("stale_if_error", "10m").namespace("l1_capacity", "0B")).await;
    expired(&cluster, "k", &[0]).await;
    cluster.origin.behave("k", failing());
    let (reads, loads, took) = read_while_it_fails(&cluster).await;
    assert!(loads <= loads_at_most(took), "{loads} loads for {reads} reads in {took:?}");
}
