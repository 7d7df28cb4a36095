//! What is refused on behalf of the origin: failures, silence, and too much at once.

use std::time::Duration;

use futures_util::future::join;
use serde_json::json;
use tokio::time::timeout;

use super::{assert_refused, refused};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn an_origin_that_fails_is_a_bad_gateway_and_nothing_of_it_is_kept() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(429),
        Fault::Status(302),
        Fault::Close,
        Fault::Truncate,
    ] {
        cluster.origin.set("k", 1);
        cluster.origin.behave("k", Behaviour { fault: Some(fault), ..Behaviour::default() });
        refused(&format!("{fault:?}"), instance.get(NAMESPACE, "k"), 502, "origin_failed").await;
        let bulk = instance.request("GET", "/v1/cache/things?keys=k").send().await;
        assert_eq!(
            (&bulk.json()["k"]["status"], &bulk.json()["k"]["code"]),
            (&json!(502), &json!("origin_failed"))
        );
        cluster.origin.behave("k", Behaviour::default());
        assert_eq!(instance.get(NAMESPACE, "k").send().await.status, 200, "after {fault:?}");
        assert_eq!(instance.invalidate("?wait=all", &json!({ "all": true })).send().await.status, 200);
    }
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_given_up_after_its_time() {
    let cluster = Cluster::with(Setup::new(1).namespace("origin.timeout", "300ms")).await;
    let instance = cluster.instance(0);
    cluster.origin.behave("k", Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    refused("GET", instance.get(NAMESPACE, "k"), 504, "origin_timeout").await;
    let all = join(instance.get(NAMESPACE, "k").send(), instance.get(NAMESPACE, "k").send());
    let (one, other) = all.await;
    for answer in [one, other] {
        assert_refused("together", &answer, 504, "origin_timeout");
    }
}

#[tokio::test]
async fn a_request_is_given_up_after_its_own_time() {
    let cluster = Cluster::with(Setup::new(1).set("server.request_timeout", "300ms")).await;
    let instance = cluster.instance(0);
    cluster.origin.behave("k", Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    refused("GET", instance.get(NAMESPACE, "k"), 503, "unavailable").await;
}

#[tokio::test]
async fn more_loads_than_may_wait_for_the_origin_are_refused_at_once() {
    let setup = Setup::new(1).namespace("origin.max_concurrency", 1).namespace("origin.timeout", "10s");
    let cluster = Cluster::with(setup).await;
    let instance = cluster.instance(0);
    cluster.origin.behave_always(Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    let bulk = |prefix: &str, count: usize| {
        let keys: Vec<_> = (0..count).map(|number| format!("{prefix}{number}")).collect();
        instance.request("POST", "/v1/cache/things").body(json!({ "keys": keys }).to_string()).send()
    };
    // One is inside and 1,024 may wait.
    let mut number = 0;
    let full = eventually("the line is full", SOON, async || {
        number += 1;
        let asked = instance.get(NAMESPACE, &format!("one-more-{number}")).send();
        timeout(Duration::from_millis(500), asked).await.ok()
    });
    let full = async {
        eventually("the first is inside", SOON, async || cluster.origin.requests() == 1).await;
        let refusal = full.await;
        assert_eq!(
            (cluster.origin.requests(), cluster.origin.peak()),
            (1, 1),
            "the others wait here, not there"
        );
        refusal
    };
    let ((first, second), refusal) = join(join(bulk("a", 1000), bulk("b", 200)), full).await;
    assert_refused("GET", &refusal, 503, "overloaded");
    let codes = |answer: &crate::harness::http::Response, code: &str| {
        let document = answer.json();
        document.as_object().expect("an object").values().filter(|it| it["code"] == code).count()
    };
    let overloaded = codes(&first, "overloaded") + codes(&second, "overloaded");
    assert!(170 <= overloaded, "{overloaded} of 1,200 were refused");
    assert_eq!((first.status, second.status), (200, 200));
}
