//! What is refused because of how things stand: no writes, a lease that is gone, nothing cached, nobody there.

use std::time::Duration;

use serde_json::json;

use super::{assert_refused, refused};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn a_namespace_over_an_origin_takes_no_writes() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    refused("PUT", instance.put(NAMESPACE, "k", "v"), 403, "write_off").await;
    refused("DELETE", instance.delete(NAMESPACE, "k"), 403, "write_off").await;
    assert_eq!(cluster.origin.requests(), 0);
}

#[tokio::test]
async fn a_lease_is_lost_with_the_first_event_and_stores_nothing() {
    let cluster = Cluster::with(Setup::new(2).set("namespaces.own.origin.kind", "none")).await;
    let (one, other) = (cluster.instance(0), cluster.instance(1));
    let miss = refused("a miss", one.get("own", "k"), 404, "not_found").await;
    let lease = miss.header("coherd-lease").expect("the first to miss gets the lease").to_owned();
    assert_eq!(other.purge("own", "k").send().await.status, 200);
    for instance in [one, other] {
        let put = instance.put("own", "k", "old").header("coherd-lease", &lease);
        refused("a lease that is gone", put, 409, "lease_lost").await;
    }
    for invented in ["", "nonsense", "|||", &lease[..lease.len() - 1]] {
        let put = one.put("own", "k", "old").header("coherd-lease", invented);
        refused("an invented lease", put, 409, "lease_lost").await;
    }
    let miss = refused("nothing was stored", other.get("own", "k"), 404, "not_found").await;
    let lease = miss.header("coherd-lease").expect("a lease of its own").to_owned();
    let put = other.put("own", "k", "new").header("coherd-lease", &lease);
    assert_eq!(put.send().await.status, 204);
    let again = other.put("own", "k", "newer").header("coherd-lease", &lease);
    refused("a lease is good for one value", again, 409, "lease_lost").await;
    assert_eq!(one.get("own", "k").send().await.text(), "new");
}

#[tokio::test]
async fn who_wants_only_what_is_cached_is_told_when_it_is_not() {
    let cluster = Cluster::start(2).await;
    cluster.origin.set("k", 1);
    let only = |number: usize| {
        cluster.instance(number).get(NAMESPACE, "k").header("cache-control", "only-if-cached")
    };
    refused("not cached", only(0), 504, "not_cached").await;
    assert_eq!(cluster.origin.requests(), 0);
    assert_eq!(cluster.instance(0).get(NAMESPACE, "k").send().await.status, 200);
    for number in [0, 1] {
        assert_eq!(only(number).send().await.status, 200, "cached, here or there");
    }
    let purged = cluster.instance(0).purge(NAMESPACE, "k").send().await;
    let id = purged.header("coherd-log-id").expect("an id");
    refused("no longer cached", only(1).header("coherd-min-log-id", id), 504, "not_cached").await;
    assert_eq!(cluster.origin.requests(), 1);
}

#[tokio::test]
async fn without_valkey_nothing_can_be_said_or_stored_and_the_publisher_may_come_back() {
    let setup = Setup::new(1)
        .set("backend.command_timeout", "300ms")
        .set("coherence.max_staleness", "500ms")
        .set("namespaces.own.origin.kind", "none");
    let cluster = Cluster::with(setup).await;
    let instance = cluster.instance(0);
    cluster.origin.set("k", 1);
    let event = json!({ "namespace": NAMESPACE, "keys": ["k"] });
    for stalled in [false, true] {
        if stalled {
            cluster.wire(0).stall();
        } else {
            cluster.wire(0).cut().await;
        }
        refused("PURGE", instance.purge(NAMESPACE, "k"), 503, "unavailable").await;
        refused("POST", instance.invalidate("", &event), 503, "unavailable").await;
        refused("waiting POST", instance.invalidate("?wait=all", &event), 503, "unavailable").await;
        refused("PUT", instance.put("own", "k", "v"), 503, "unavailable").await;
        refused("DELETE", instance.delete("own", "k"), 503, "unavailable").await;
        // Detached: what has no origin has nobody to ask, what has one goes there.
        refused("GET", instance.get("own", "unheard-of"), 503, "unavailable").await;
        assert_eq!(instance.get(NAMESPACE, "k").send().await.status, 200);
        cluster.wire(0).restore().await;
        eventually("it can be said again", SOON, async || {
            let answer = instance.invalidate("", &event).send().await;
            if answer.status != 202 {
                assert_refused("until then", &answer, 503, "unavailable");
            }
            answer.status == 202
        })
        .await;
    }
}

#[tokio::test]
async fn who_waits_for_all_is_told_who_is_missing() {
    let cluster = Cluster::with(Setup::new(2).set("coherence.max_staleness", "30s")).await;
    cluster.instance(1).pause();
    let event = json!({ "namespace": NAMESPACE, "keys": ["k"] });
    let began = tokio::time::Instant::now();
    let answer = refused(
        "wait=all",
        cluster.instance(0).invalidate("?wait=all&timeout=300ms", &event),
        504,
        "wait_timeout",
    )
    .await;
    cluster.instance(1).resume();
    assert!(Duration::from_millis(300) <= began.elapsed());
    let problem = answer.json();
    let last = cluster.server.command(&["XREVRANGE", "coherd:{main}:log", "+", "-", "COUNT", "1"]).await;
    let id = last.items()[0].items()[0].text();
    assert_eq!(
        (&problem["id"], answer.header("coherd-log-id")),
        (&json!(id), Some(id.as_str())),
        "it stands"
    );
    let missing = problem["missing"].as_array().expect("a list");
    assert!(missing.contains(&json!("inst-1")), "{problem}");
}
