//! What two instances keep of what the origin or the application gave them, and what they do not.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::harness::http::{Client, Response};
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::proxy::Direction;
use crate::harness::resp::{Connection, Reply};
use crate::harness::server::Server;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

/// The entry of the key `k`.
const ENTRY: &str = "coherd:{main}:e:things:v1:k";
/// The namespace whose values the application stores.
const OWN: &str = "own";

/// An answer's status, version and the detail of its `Cache-Status`.
fn seen(answer: &Response) -> (u16, Option<u64>, String) {
    let version = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let version = version.and_then(|it| it["version"].as_u64());
    let detail = answer.header("cache-status").unwrap_or_default();
    let detail = detail.rsplit_once("detail=").map_or(detail, |(_, detail)| detail);
    (answer.status, version, detail.to_owned())
}

async fn get(instance: &Instance, key: &str) -> Response {
    instance.get(NAMESPACE, key).send().await
}

async fn exists(server: &Server, key: &str) -> bool {
    server.command(&["EXISTS", key]).await.integer() == 1
}

#[tokio::test]
async fn that_there_is_no_value_is_kept_where_the_namespace_says_so() {
    let cluster = Cluster::with(Setup::new(2).namespace("negative_ttl", "60s")).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    for instance in [first, second, second] {
        let answer = get(instance, "k").await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")));
    }
    assert_eq!(seen(&get(second, "k").await), (404, None, "negative".to_owned()));
    assert_eq!(cluster.origin.reads("k"), 1);

    cluster.origin.set("k", 7);
    assert_eq!(
        first.invalidate("?wait=all", &json!({"namespace": NAMESPACE, "keys": ["k"]})).send().await.status,
        200
    );
    assert_eq!(seen(&get(second, "k").await).1, Some(7));
}

#[tokio::test]
async fn that_there_is_no_value_is_not_kept_by_default() {
    let cluster = Cluster::start(1).await;
    for reads in 1..=2 {
        assert_eq!(get(cluster.instance(0), "k").await.status, 404);
        assert_eq!(cluster.origin.reads("k"), reads);
    }
    assert!(!exists(&cluster.server, ENTRY).await);
}

#[tokio::test]
async fn a_value_whose_time_is_over_is_asked_for_again_and_keeps_its_tags_if_it_still_stands() {
    let setup = Setup::new(2).namespace("ttl", "300ms").namespace("ttl_jitter", 0.0);
    let cluster = Cluster::with(setup.namespace("stale_if_error", "60s")).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    cluster.origin.set("k", 1);
    cluster.origin.behave("k", Behaviour::default().header("cache-tag", "team:7"));
    assert_eq!(seen(&get(first, "k").await), (200, Some(1), "origin".to_owned()));

    // What is not modified says how long it lives from now on, and nothing of its tags.
    let unchanged = Behaviour { conditional: true, ..Behaviour::default() };
    cluster.origin.behave("k", unchanged.header("cache-control", "max-age=60"));
    let again = eventually("its time is over", SOON, async || {
        let answer = get(first, "k").await;
        (cluster.origin.not_modified("k") == 1).then_some(answer)
    })
    .await;
    assert_eq!(seen(&again), (200, Some(1), "origin".to_owned()));
    assert_eq!(cluster.origin.reads("k"), 2);
    assert_eq!(seen(&get(first, "k").await), (200, Some(1), "l1".to_owned()));
    assert_eq!(seen(&get(second, "k").await), (200, Some(1), "l2".to_owned()));

    cluster.origin.set("k", 2);
    assert_eq!(first.invalidate("?wait=all", &json!({"tags": ["team:7"]})).send().await.status, 200);
    for instance in [second, first] {
        assert_eq!(seen(&get(instance, "k").await).1, Some(2));
    }
    assert_eq!(cluster.origin.reads("k"), 3);
}

#[tokio::test]
async fn what_the_origin_says_is_not_to_be_stored_is_passed_on_and_kept_nowhere() {
    let cluster = Cluster::start(2).await;
    cluster.origin.set("k", 1);
    for directive in ["no-store", "private"] {
        cluster.origin.behave("k", Behaviour::default().header("cache-control", directive));
        for instance in [0, 0, 1] {
            let before = cluster.origin.reads("k");
            assert_eq!(seen(&get(cluster.instance(instance), "k").await).1, Some(1));
            assert_eq!(cluster.origin.reads("k"), before + 1, "{directive}");
        }
        assert!(!exists(&cluster.server, ENTRY).await, "{directive}");
    }
}

#[tokio::test]
async fn a_value_over_the_limit_is_passed_on_whole_and_kept_nowhere() {
    let cluster = Cluster::with(Setup::new(1).namespace("max_value", "1KiB")).await;
    let body = "x".repeat(3000);
    let url = cluster.origin.url().replace("{key}", "k");
    assert_eq!(Client::new().put(&url, body.clone()).send().await.status, 204);
    for reads in 1..=2 {
        let answer = get(cluster.instance(0), "k").await;
        assert_eq!((answer.status, answer.text() == body), (200, true));
        assert_eq!(seen(&answer).2, "too-large");
        assert_eq!(cluster.origin.reads("k"), reads);
    }
    assert!(!exists(&cluster.server, ENTRY).await);
}

async fn own(instance: &Instance, key: &str) -> Response {
    instance.get(OWN, key).send().await
}

/// The lease in the answer to a read that may load.
fn lease(answer: &Response) -> &str {
    assert_eq!(answer.status, 404, "{answer:?}");
    answer.header("coherd-lease").expect("a lease")
}

#[tokio::test]
async fn an_application_that_holds_the_lease_stores_and_all_who_wait_get_the_value() {
    let cluster = Cluster::with(Setup::new(2).set("namespaces.own.origin.kind", "none")).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    let missed = own(first, "k").await;
    let waiting: Vec<_> = [first, second, second].map(|it| spawn(it.get(OWN, "k").send())).into();
    eventually("somebody waits", SOON, async || {
        let held = cluster.server.command(&["GET", "coherd:{main}:l:own:k"]).await;
        matches!(held, Reply::Text(held) if held.ends_with(b"|w"))
    })
    .await;
    let asked = Instant::now();
    let stored = first.put(OWN, "k", "value").header("coherd-lease", lease(&missed)).send().await;
    assert_eq!(stored.status, 204);
    for reading in waiting {
        let answer = reading.await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "value".to_owned()));
    }
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "woken, not the lease's five seconds later: {took:?}");

    let again = second.put(OWN, "k", "twice").header("coherd-lease", lease(&missed)).send().await;
    assert_eq!(again.status, 409, "a lease is good for one store");
    assert_eq!(own(second, "k").await.text(), "value");
}

#[tokio::test]
async fn a_lease_is_lost_to_an_invalidation_at_another_instance() {
    let cluster = Cluster::with(Setup::new(2).set("namespaces.own.origin.kind", "none")).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    let targets = [
        json!({"namespace": OWN, "keys": ["a/k"]}),
        json!({"namespace": OWN, "prefixes": ["a/"]}),
        json!({"namespace": OWN, "all": true}),
    ];
    for event in targets {
        let missed = own(first, "a/k").await;
        assert_eq!(second.invalidate("", &event).send().await.status, 202);
        let late = first.put(OWN, "a/k", "old").header("coherd-lease", lease(&missed)).send().await;
        assert_eq!((late.status, &late.json()["code"]), (409, &json!("lease_lost")), "{event}");
        assert!(!exists(&cluster.server, "coherd:{main}:e:own:v1:a/k").await, "{event}");
    }
    let missed = own(second, "a/k").await;
    let stored = second.put(OWN, "a/k", "new").header("coherd-lease", lease(&missed)).send().await;
    assert_eq!(stored.status, 204);
    assert_eq!(own(first, "a/k").await.text(), "new");
}

/// The next command that a client sent and that names an entry of [`NAMESPACE`].
async fn next_of_entries(monitor: &mut Connection) -> String {
    loop {
        let line = monitor.read().await.unwrap().text();
        if line.contains(":e:things:") && !line.contains(" lua] ") {
            return line;
        }
    }
}

#[tokio::test]
async fn a_hundred_keys_of_l2_are_one_round_trip() {
    let patient = Setup::new(2).set("backend.command_timeout", "20s").set("coherence.max_staleness", "20s");
    let cluster = Cluster::with(patient.namespace("ttl", "60s")).await;
    let (loader, reader) = (cluster.instance(0), cluster.instance(1));
    let keys: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    keys.iter().for_each(|key| cluster.origin.set(key, 1));
    let path = format!("/v1/cache/{NAMESPACE}?keys={}", keys.join(","));
    let loaded = loader.request("GET", &path).send().await.json();
    assert!(keys.iter().all(|key| loaded[key]["cache"] == "origin"), "{loaded}");

    let mut monitor = cluster.server.connect().await;
    assert_eq!(monitor.command(&["MONITOR"]).await.unwrap().text(), "OK");
    // No answer gets back to the reader: whatever it asks, it asks before it has heard anything.
    cluster.wire(1).stall_one_way(Direction::Down);
    let reading = spawn(reader.request("GET", &path).send());
    for _ in 0..100 {
        let line = next_of_entries(&mut monitor).await;
        assert!(line.contains("\"HMGET\""), "{line}");
    }
    cluster.wire(1).restore().await;
    let answer = reading.await.unwrap().json();
    assert!(
        keys.iter().all(|key| answer[key]["cache"] == "l2" && answer[key]["value"]["version"] == 1),
        "{answer}"
    );
    assert_eq!(cluster.origin.requests(), 100);

    // Nothing more was asked: the next command that names an entry is this one.
    cluster.server.command(&["EXISTS", "coherd:{main}:e:things:v1:end"]).await;
    let line = next_of_entries(&mut monitor).await;
    assert!(line.contains("EXISTS"), "{line}");
}
