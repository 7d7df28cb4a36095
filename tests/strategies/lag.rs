//! `origin_lag`: an origin whose replicas are behind, after a change and its event.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{get, max_age, read, refreshes, seen, total};
use crate::harness::clock::Clocks;
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::server::Options;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

/// How far the replicas are behind.
const BEHIND: Duration = Duration::from_secs(2);
/// What the namespace allows for.
const LAG: Duration = Duration::from_secs(3);

fn behind() -> Behaviour {
    Behaviour { lag: BEHIND, ..Behaviour::default() }
}

/// Instances that hold version 1 for long.
async fn holding(setup: Setup) -> Cluster {
    let cluster = Cluster::with(setup.namespace("ttl_jitter", 0.0).namespace("ttl", "1h")).await;
    cluster.origin.set("k", 1);
    // An instance that has just started does not know what was changed before, and keeps nothing for longer than the lag.
    sleep(LAG).await;
    for node in &cluster.nodes {
        let answer = get(&node.instance, "k").await;
        assert_eq!((seen(&answer).1, max_age(&answer)), (Some(1), 3600));
    }
    cluster
}

/// The same, and an origin whose replicas are behind from now on; version 2 is committed, and its event is obeyed by all.
/// When that was.
async fn changed(setup: Setup) -> (Cluster, Instant) {
    let cluster = holding(setup).await;
    cluster.origin.behave("k", behind());
    cluster.origin.set("k", 2);
    let committed = Instant::now();
    let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
    assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    (cluster, committed)
}

#[tokio::test]
async fn what_a_replica_says_within_the_lag_is_kept_no_longer_than_the_lag() {
    let (cluster, committed) = changed(Setup::new(3).namespace("origin_lag", "3s")).await;
    let loads = cluster.origin.reads("k");
    let first = get(cluster.instance(0), "k").await;
    if committed.elapsed() < BEHIND {
        assert_eq!(seen(&first), (200, Some(1), "origin".to_owned()), "the replica knows no better");
    }
    assert!(max_age(&first) <= LAG.as_secs() + 1, "{first:?}");
    // It does for the others within the lag: one load, not one for every read.
    for node in &cluster.nodes {
        read(&node.instance, "k").await;
    }
    assert!(cluster.origin.reads("k") <= loads + 2, "{} loads", cluster.origin.reads("k") - loads);
    for node in &cluster.nodes {
        eventually("the new version is there", SOON, async || read(&node.instance, "k").await.1 == Some(2))
            .await;
    }
    let took = committed.elapsed();
    assert!(took < LAG + Duration::from_secs(3), "{took:?}");
    // From then on nothing older, and it lives as long as any.
    for node in &cluster.nodes {
        let answer = get(&node.instance, "k").await;
        assert_eq!(seen(&answer).1, Some(2));
        if LAG < took {
            assert_eq!(max_age(&answer), 3600);
        }
    }
}

#[tokio::test]
async fn a_load_that_takes_longer_than_the_lag_is_judged_by_its_beginning() {
    let (cluster, committed) =
        changed(Setup::new(1).namespace("origin_lag", "3s").namespace("origin.timeout", "10s")).await;
    cluster.origin.behave("k", Behaviour { delay: LAG + Duration::from_secs(1), ..behind() });
    let reading = spawn(cluster.instance(0).get(NAMESPACE, "k").send());
    // Other events come meanwhile, and when the load has ended those of its beginning are long past.
    while !reading.is_finished() {
        assert_eq!(cluster.instance(0).purge(NAMESPACE, "another").send().await.status, 200);
        sleep(Duration::from_millis(50)).await;
    }
    let first = seen(&reading.await.unwrap());
    if first.1 == Some(1) {
        cluster.origin.behave("k", Behaviour::default());
        assert_eq!(read(cluster.instance(0), "k").await.1, Some(2), "{:?}", committed.elapsed());
    }
}

/// The entry in L2 is fresh by the server's clock for another hour: the instances know better.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn a_server_whose_clock_goes_back_keeps_what_a_replica_said_no_longer() {
    let Some(clocks) = Clocks::build() else {
        eprintln!("left out: clocks cannot be stepped without Linux and a C compiler");
        return;
    };
    for event in [json!({"namespace": NAMESPACE, "keys": ["k"]}), json!({"tags": ["t"], "soft": true})] {
        clocks.set("server", 3_600);
        let server = Options::default().env(clocks.variables("server"));
        let setup = Setup { server, ..Setup::new(3) }.namespace("stale_while_revalidate", "1s");
        let cluster = holding(setup.namespace("origin_lag", "3s").namespace("tags", vec!["t"])).await;
        cluster.origin.behave("k", behind());
        cluster.origin.set("k", 2);
        let committed = Instant::now();
        assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
        eventually("the replica is asked", SOON, async || {
            read(cluster.instance(0), "k").await;
            2 <= cluster.origin.reads("k")
        })
        .await;
        clocks.set("server", 0);
        // Where the replica was asked in time, the value of before the event is in L2, and so is it in some L1.
        for node in &cluster.nodes {
            eventually("the new version is there", SOON, async || {
                read(&node.instance, "k").await.1 == Some(2)
            })
            .await;
        }
        assert!(committed.elapsed() < Duration::from_mins(1));
    }
}

#[tokio::test]
async fn without_it_what_a_replica_said_stays() {
    let (cluster, committed) = changed(Setup::new(1)).await;
    let first = read(cluster.instance(0), "k").await;
    if first.1 == Some(1) {
        sleep((LAG * 2).saturating_sub(committed.elapsed())).await;
        assert_eq!(read(cluster.instance(0), "k").await, (200, Some(1), "l1".to_owned()));
    }
}

#[tokio::test]
async fn a_refresh_after_a_soft_event_counts_on_the_lag_too_and_nobody_waits() {
    let setup = Setup::new(2).namespace("origin_lag", "3s").namespace("stale_while_revalidate", "10m");
    let cluster = holding(setup).await;
    cluster.origin.behave("k", behind());
    cluster.origin.set("k", 2);
    let event = json!({"namespace": NAMESPACE, "keys": ["k"], "soft": true});
    assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    for node in &cluster.nodes {
        eventually("the new version is there", SOON, async || {
            let (status, version, detail) = read(&node.instance, "k").await;
            assert!(status == 200 && detail != "origin", "{version:?} {detail}");
            version == Some(2)
        })
        .await;
    }
    assert!(0.5 < total(&cluster, &refreshes("stored")).await);
}

#[tokio::test]
async fn a_new_instance_allows_for_what_was_changed_before_it_came() {
    let setup = Setup::new(1).namespace("origin_lag", "3s");
    let (mut cluster, _) = changed(setup).await;
    cluster.nodes[0].instance.restart().await;
    // Whatever the replica says now, it is asked again once every replica has seen the change.
    get(cluster.instance(0), "k").await;
    eventually("the new version is there", SOON, async || read(cluster.instance(0), "k").await.1 == Some(2))
        .await;
}
