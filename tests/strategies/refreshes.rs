//! Stale-while-revalidate: nobody waits, and one instance refreshes for all.

use serde_json::json;

use super::{expired, get, read, refreshes, seen, total};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::wait::{SOON, eventually};

/// Reads of each instance while a refresh is under way.
const READS: usize = 30;

fn setup(instances: usize) -> Setup {
    let setup = Setup::new(instances).namespace("ttl_jitter", 0.0).namespace("lease", "30s");
    setup.namespace("origin.timeout", "30s").namespace("stale_while_revalidate", "10m")
}

/// Reads `k` on every instance, again and again: each answer is the stale version.
async fn all_stale(cluster: &Cluster, version: u64) {
    for _ in 0..READS {
        for node in &cluster.nodes {
            assert_eq!(read(&node.instance, "k").await, (200, Some(version), "stale".to_owned()));
        }
    }
}

/// Waits until every instance answers with that version as fresh.
async fn all_fresh(cluster: &Cluster, version: u64) {
    for node in &cluster.nodes {
        eventually(&format!("{} has version {version}", node.instance.id()), SOON, async || {
            let (_, has, detail) = read(&node.instance, "k").await;
            has == Some(version) && (detail == "l1" || detail == "l2")
        })
        .await;
    }
}

#[tokio::test]
async fn a_stale_key_that_all_read_is_refreshed_once_in_the_cluster_and_round_and_nobody_waits() {
    let cluster = Cluster::with(setup(3)).await;
    expired(&cluster, "k", &[0, 1, 2]).await;
    let mut loads = cluster.origin.reads("k");
    for round in 1..=3 {
        // The first round begins by time, the others by a soft event; the refresh is held until all have read.
        let version = cluster.origin.bump("k");
        let gate = cluster.origin.hold("k");
        if 1 < round {
            let event = json!({"namespace": NAMESPACE, "keys": ["k"], "soft": true});
            assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
        }
        all_stale(&cluster, version - 1).await;
        gate.arrived(1).await;
        all_stale(&cluster, version - 1).await;
        loads += 1;
        assert_eq!(cluster.origin.reads("k"), loads, "round {round}: one load in the whole cluster");
        gate.release();
        all_fresh(&cluster, version).await;
        assert_eq!(cluster.origin.reads("k"), loads, "round {round}: what one has loaded does for all");
    }
    assert!((total(&cluster, &refreshes("stored")).await - 3.0).abs() < 0.5);
    for outcome in ["failed", "rejected", "dropped"] {
        assert!(total(&cluster, &refreshes(outcome)).await < 0.5, "{outcome}");
    }
    for node in &cluster.nodes {
        assert_eq!(node.instance.metric("coherd_task_up{task=\"refresh.worker\"}").await, Some(1.0));
        let waiting = format!("coherd_refreshes_waiting{{namespace=\"{NAMESPACE}\"}}");
        assert_eq!(node.instance.metric(&waiting).await, Some(0.0));
    }
}

#[tokio::test]
async fn a_stale_copy_that_only_l2_has_is_answered_at_once_too() {
    let cluster = Cluster::with(setup(3)).await;
    expired(&cluster, "k", &[0]).await;
    let version = cluster.origin.bump("k");
    let gate = cluster.origin.hold("k");
    // It gets the lease with the stale copy: its load goes on behind the answer.
    assert_eq!(read(cluster.instance(1), "k").await, (200, Some(1), "stale".to_owned()));
    gate.arrived(1).await;
    // It finds the lease taken.
    assert_eq!(read(cluster.instance(2), "k").await, (200, Some(1), "stale".to_owned()));
    all_stale(&cluster, 1).await;
    assert_eq!(cluster.origin.reads("k"), 2);
    gate.release();
    all_fresh(&cluster, version).await;
    assert_eq!(cluster.origin.reads("k"), 2);
}

#[tokio::test]
async fn what_a_hard_event_hit_is_not_answered_while_it_is_refreshed() {
    let cluster = Cluster::with(setup(2)).await;
    expired(&cluster, "k", &[0, 1]).await;
    let gate = cluster.origin.hold("k");
    all_stale(&cluster, 1).await;
    gate.arrived(1).await;
    // The refresh has read version 1, and the lease that it holds is void from here on.
    let version = cluster.origin.bump("k");
    assert_eq!(cluster.instance(1).purge(NAMESPACE, "k").send().await.status, 200);
    let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
    assert_eq!(cluster.instance(1).invalidate("?wait=all", &event).send().await.status, 200);
    let reading = [0, 1].map(|it| get(cluster.instance(it), "k"));
    let release = async {
        gate.arrived(2).await;
        gate.release();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(reading), release);
    for answer in answers {
        assert_eq!(seen(&answer).1, Some(version), "{answer:?}");
    }
    all_fresh(&cluster, version).await;
    assert!(0.5 < total(&cluster, &refreshes("rejected")).await, "the refresh's own fill was refused");
}

#[tokio::test]
async fn the_hottest_of_many_stale_keys_is_refreshed_first() {
    let one_by_one = setup(1).namespace("origin.max_concurrency", 1).set("log.level", "info");
    let cluster = Cluster::with(one_by_one).await;
    let instance = cluster.instance(0);
    let keys: Vec<String> = (0..20).map(|number| format!("cold{number}")).collect();
    cluster.origin.set("first", 1);
    cluster.origin.set("hot", 1);
    for key in &keys {
        cluster.origin.set(key, 1);
    }
    for key in keys.iter().map(String::as_str).chain(["first"]) {
        assert_eq!(read(instance, key).await.0, 200);
    }
    for _ in 0..200 {
        assert_eq!(read(instance, "hot").await.0, 200);
    }
    let event = json!({"namespace": NAMESPACE, "all": true, "soft": true});
    assert_eq!(instance.invalidate("?wait=all", &event).send().await.status, 200);
    // One refresh holds the only place; the others come meanwhile, the hot one last.
    let gate = cluster.origin.hold("first");
    assert_eq!(read(instance, "first").await.2, "stale");
    gate.arrived(1).await;
    let before = cluster.origin.order().len();
    for key in keys.iter().map(String::as_str).chain(["hot"]) {
        assert_eq!(read(instance, key).await.2, "stale");
    }
    gate.release();
    eventually("all are refreshed", SOON, async || cluster.origin.order().len() == before + 21).await;
    assert_eq!(cluster.origin.order()[before], "hot");
}
