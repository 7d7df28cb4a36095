//! `POST /v1/warm/NS`: what it loads, what it says of that, and what ends it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{from_l1, read};
use crate::harness::http::{Client, Request};
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

fn warm(instance: &Instance, namespace: &str, keys: &[&str]) -> Request {
    let body = json!({ "keys": keys }).to_string();
    instance.request("POST", &format!("/v1/warm/{namespace}")).body(body)
}

/// The counts that are not zero, in the order of their names.
fn counts(document: &Value) -> Vec<(&str, u64)> {
    let counts = document.as_object().expect("an object").iter();
    let counts = counts.map(|(name, count)| (name.as_str(), count.as_u64().expect("a number")));
    counts.filter(|(_, count)| *count != 0).collect()
}

#[tokio::test]
async fn keys_are_loaded_as_for_a_reader_and_counted_by_what_became_of_them() {
    let cluster = Cluster::start(2).await;
    let [one, other] = [0, 1].map(|number| cluster.instance(number));
    for key in ["here", "there", "new"] {
        cluster.origin.set(key, 1);
    }
    cluster.origin.set("private", 1);
    cluster.origin.describe("private", &[("cache-control", "no-store")]);
    cluster.origin.behave("broken", Behaviour { fault: Some(Fault::Status(500)), ..Behaviour::default() });
    read(one, "here").await;
    read(other, "there").await;

    let keys = ["here", "there", "new", "private", "none", "broken", "new"];
    let answer = warm(one, NAMESPACE, &keys).send().await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    let expected = [("absent", 1), ("cached", 2), ("failed", 1), ("keys", 6), ("loaded", 1), ("not_kept", 1)];
    assert_eq!(counts(&answer.json()), expected);
    assert_eq!(answer.json()["left"], 0);
    for key in ["here", "there", "new"] {
        assert_eq!(read(one, key).await, from_l1(1), "{key}");
        assert_eq!(cluster.origin.reads(key), 1, "{key}");
    }
    assert_eq!(read(other, "new").await.2, "l2", "it is there for all");
}

#[tokio::test]
async fn without_an_origin_keys_are_taken_from_l2_and_no_lease_is_taken() {
    let cluster = Cluster::with(Setup::new(2).set("namespaces.own.origin.kind", "none")).await;
    let [one, other] = [0, 1].map(|number| cluster.instance(number));
    assert_eq!(other.put("own", "k", "value").send().await.status, 200);
    let answer = warm(one, "own", &["k", "none"]).send().await;
    assert_eq!(counts(&answer.json()), [("absent", 1), ("cached", 1), ("keys", 2)]);
    let hit = one.get("own", "k").send().await;
    assert!(hit.header("cache-status").is_some_and(|it| it.contains("detail=l1")), "{hit:?}");
    assert!(one.get("own", "none").send().await.header("coherd-lease").is_some(), "the lease is to be had");
}

#[tokio::test]
async fn what_is_no_list_of_keys_is_refused_and_named() {
    let cluster = Cluster::start(1).await;
    let one = cluster.instance(0);
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    let long = "k".repeat(513);
    for (path, body, status, code, detail) in [
        ("/v1/warm/things", json!({ "keys": many }).to_string(), 400, "bad_request", "at most 1000"),
        ("/v1/warm/things", json!({ "keys": ["a", long] }).to_string(), 400, "bad_key", "key 2"),
        ("/v1/warm/things", json!({ "keys": [] }).to_string(), 400, "bad_request", "empty"),
        ("/v1/warm/things", r#"{"keys":["a"],"all":1}"#.to_owned(), 400, "bad_request", "column 19"),
        ("/v1/warm/things", String::new(), 400, "bad_request", "of the form"),
        ("/v1/warm/nope", json!({ "keys": ["a"] }).to_string(), 404, "unknown_namespace", "nope"),
    ] {
        let answer = one.request("POST", path).body(body).send().await;
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|it| it.contains(detail)), "{detail}: {problem}");
    }
    assert_eq!(cluster.origin.requests(), 0);
}

#[tokio::test]
async fn the_time_of_a_request_ends_it_and_it_says_how_far_it_came() {
    let setup = Setup::new(1).set("server.request_timeout", "1s").namespace("origin.timeout", "30s");
    let cluster = Cluster::with(setup).await;
    cluster.origin.set("k", 1);
    cluster.origin.set("slow", 1);
    let gate = cluster.origin.hold("slow");
    let asked = Instant::now();
    let answer = warm(cluster.instance(0), NAMESPACE, &["slow", "k"]).send().await;
    assert_eq!(counts(&answer.json()), [("keys", 2), ("left", 1), ("loaded", 1)]);
    assert!(asked.elapsed() < SOON / 2, "{:?}", asked.elapsed());
    gate.release();
    eventually("what was under way is kept", SOON, async || {
        read(cluster.instance(0), "slow").await == from_l1(1)
    })
    .await;
    assert_eq!(cluster.origin.reads("slow"), 1);
}

#[tokio::test]
async fn a_stop_ends_it_and_it_says_how_far_it_came() {
    let mut cluster = Cluster::with(Setup::new(1).namespace("origin.timeout", "30s")).await;
    cluster.origin.set("slow", 1);
    let gate = cluster.origin.hold("slow");
    let instance = &mut cluster.nodes[0].instance;
    let warming = spawn(warm(instance, NAMESPACE, &["slow"]).send());
    gate.arrived(1).await;
    instance.terminate();
    assert_eq!(counts(&warming.await.unwrap().json()), [("keys", 1), ("left", 1)]);
    assert_eq!(instance.exit(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn who_is_cut_off_asks_no_origin_for_what_it_could_not_keep() {
    let cluster = Cluster::with(Setup::new(1).set("coherence.max_staleness", "500ms")).await;
    cluster.origin.set("k", 1);
    cluster.wire(0).cut().await;
    let instance = cluster.instance(0);
    eventually("it is detached", SOON, async || {
        instance.readyz().await.1["degraded"].to_string().contains("detached")
    })
    .await;
    let answer = warm(instance, NAMESPACE, &["k"]).send().await;
    assert_eq!(counts(&answer.json()), [("failed", 1), ("keys", 1)]);
    assert_eq!(cluster.origin.requests(), 0);
}

/// Over HTTP/1.1 a client that is gone looks like one that has only closed its side: the time of a request ends it.
#[tokio::test]
async fn who_takes_the_request_back_has_no_more_keys_loaded() {
    let cluster = Cluster::start(1).await;
    let keys: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    cluster.origin.behave_always(Behaviour { delay: Duration::from_millis(200), ..Behaviour::default() });
    let url = cluster.instance(0).url("/v1/warm/things");
    let warming = spawn(Client::http2().post(&url, &json!({ "keys": keys })).send());
    eventually("it has begun", SOON, async || 0 < cluster.origin.requests()).await;
    drop(warming);
    let mut before = 0;
    eventually("no more are loaded", SOON, async || {
        // Longer than a load takes: after one that is under way the next is asked for by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let last = std::mem::replace(&mut before, cluster.origin.requests());
        last == before
    })
    .await;
    assert!(before < 500, "{before} keys were loaded all the same");
}
