//! A load that reads the origin before an invalidation and comes back after it, everything else being well.

use serde_json::{Value, json};

use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::origin::Behaviour;
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};
use crate::promises::steps::{D, LONG, Race, converges, nothing_older, read, send, setup, version_of, warm};

#[tokio::test]
async fn a_held_load_or_refresh_never_brings_back_what_was_invalidated() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    race.publish("?wait=all").await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
    let stats = race.victim().admin("/stats").await;
    assert_eq!(stats["namespaces"][NAMESPACE]["fills_rejected"], 3, "two loads and a refresh: {stats}");
}

#[tokio::test]
async fn nor_on_the_instance_that_published() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 0).await;
    race.publish("?wait=all").await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn without_a_cluster_wide_lease_neither() {
    let mut race = Race::set(Cluster::with(setup(D).namespace("lease", "0s")).await, 1).await;
    race.publish("?wait=all").await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

/// An event of every kind that covers the key `eu/de/7`.
fn events() -> [Value; 5] {
    [
        json!({ "namespace": NAMESPACE, "keys": ["eu/de/7"] }),
        json!({ "namespace": NAMESPACE, "prefixes": ["eu/"] }),
        json!({ "namespace": NAMESPACE, "prefixes": ["eu/d"] }),
        json!({ "namespace": NAMESPACE, "all": true }),
        json!({ "tags": ["seven"] }),
    ]
}

#[tokio::test]
async fn whatever_names_a_key_voids_its_loads_and_its_copies() {
    let key = "eu/de/7";
    let cluster = Cluster::with(setup(D)).await;
    cluster.origin.behave(key, Behaviour::default().header("surrogate-key", "six seven"));
    cluster.origin.set(key, 1);
    for event in events() {
        // The load is of a copy that is in every memory: what is held is a load past it.
        warm(&cluster, key).await;
        let gate = cluster.origin.hold(key);
        let held = send(cluster.instance(1).get(NAMESPACE, key).header("cache-control", "no-cache"));
        gate.arrived(1).await;
        cluster.origin.bump(key);
        let answer = cluster.instance(2).invalidate("?wait=all", &event).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        gate.release();
        held.await.expect("the request does not panic").expect("it is answered");
        nothing_older(&cluster, &[key]).await;
        converges(&cluster, &[key]).await;
    }
}

#[tokio::test]
async fn a_load_that_another_instance_waits_for_is_not_passed_on_when_it_is_old() {
    let cluster = Cluster::with(setup(D)).await;
    cluster.origin.behave("k", Behaviour::default().header("cache-tag", "t"));
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let first = send(cluster.instance(1).get(NAMESPACE, "k"));
    gate.arrived(1).await;
    cluster.origin.bump("k");
    let event = json!({ "tags": ["t"] });
    assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    // The tag is in no answer yet, so the lease stands, and this one waits for it.
    let second = send(cluster.instance(2).get(NAMESPACE, "k"));
    let waits = async || cluster.server.command(&["GET", "coherd:{main}:l:things:k"]).await;
    eventually(
        "the second waits for the first",
        SOON,
        async || matches!(waits().await, Reply::Text(lease) if lease.ends_with(b"|w")),
    )
    .await;
    gate.release();
    first.await.expect("the request does not panic").expect("it is answered");
    let second = second.await.expect("the request does not panic").expect("it is answered");
    assert_eq!(version_of(&second), 2);
    converges(&cluster, &["k"]).await;
}

#[tokio::test]
async fn a_soft_event_ends_a_held_load_s_right_to_be_fresh() {
    let cluster = Cluster::with(setup(LONG)).await;
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let held = send(cluster.instance(1).get(NAMESPACE, "k"));
    gate.arrived(1).await;
    cluster.origin.bump("k");
    let purged = cluster.instance(1).request("PURGE", "/v1/cache/things/k?soft=true").send().await;
    assert_eq!(purged.status, 200, "{purged:?}");
    gate.release();
    held.await.expect("the request does not panic").expect("it is answered");
    // Stale answers are not allowed in this namespace.
    assert_eq!(read(cluster.instance(1), "k").await, 2);
    converges(&cluster, &["k"]).await;
}
