//! `/v1/explain` and `coherd explain`: what an instance says of a key is what it then answers.

use serde_json::{Value, json};

use crate::harness::command::coherd;
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

/// The namespace whose values the application stores.
const OWN: &str = "own";

async fn explain(instance: &Instance, namespace: &str, key: &str) -> Value {
    instance.admin(&format!("/v1/explain/{namespace}/{key}")).await
}

/// Where it says that an answer would come from, and where the next one does come from.
async fn told_and_done(instance: &Instance, key: &str) -> (String, String) {
    let told = explain(instance, NAMESPACE, key).await["answer"]["from"].as_str().expect("a word").to_owned();
    let answer = instance.get(NAMESPACE, key).send().await;
    let status = answer.header("cache-status").unwrap_or_default();
    let done = status.rsplit_once("detail=").map_or(status, |(_, detail)| detail);
    (told, done.to_owned())
}

fn both(word: &str) -> (String, String) {
    (word.to_owned(), word.to_owned())
}

async fn publish(instance: &Instance, event: Value) -> String {
    let answer = instance.invalidate("?wait=all", &event).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("coherd-log-id").expect("an id").to_owned()
}

#[tokio::test]
async fn it_says_which_tiers_hold_a_key_who_loaded_it_and_where_an_answer_comes_from() {
    let cluster = Cluster::with(Setup::new(2).namespace("ttl", "60s").namespace("ttl_jitter", 0.0)).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    cluster.origin.set("eu/1", 7);
    cluster.origin.behave("eu/1", Behaviour::default().header("cache-tag", "team:7"));
    let nothing = explain(first, NAMESPACE, "eu/1").await;
    assert_eq!(
        (&nothing["l1"], &nothing["l2"], &nothing["lease"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&nothing["attached"], &nothing["shard"], &nothing["unknown"]),
        (&json!(true), &json!(0), &json!([]))
    );
    assert_eq!(told_and_done(first, "eu/1").await, both("origin"));
    assert_eq!(cluster.origin.reads("eu/1"), 1, "nothing was loaded to explain it");

    assert_eq!(told_and_done(second, "eu/1").await, both("l2"));
    assert_eq!(told_and_done(second, "eu/1").await, both("l1"));
    let held = explain(second, NAMESPACE, "eu/1").await;
    for tier in ["l1", "l2"] {
        let tier = &held[tier];
        assert_eq!(
            (&tier["holds"], &tier["standing"], &tier["usable"]),
            (&json!("value"), &json!("valid"), &json!("fresh"))
        );
        assert_eq!((&tier["loaded_by"]["instance"], &tier["tags"]), (&json!(first.id()), &json!(["team:7"])));
        let (age, ttl) = (tier["age_s"].as_f64().expect("a time"), tier["ttl_s"].as_f64().expect("a time"));
        assert!((age + ttl - 60.0).abs() < 0.1, "{tier}");
    }
}

#[tokio::test]
async fn it_names_the_last_event_that_named_the_key_or_what_covers_its_copies() {
    let cluster = Cluster::with(Setup::new(2).namespace("stale_while_revalidate", "10m")).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    cluster.origin.set("eu/1", 7);
    cluster.origin.behave("eu/1", Behaviour::default().header("cache-tag", "team:7"));
    let by_prefix =
        json!({"namespace": NAMESPACE, "prefixes": ["eu/"], "source": "billing", "reason": "prices"});
    let id = publish(first, by_prefix).await;
    // Of others, more than are read at once.
    for _ in 0..6 {
        let keys: Vec<String> = (0..100).map(|number| format!("other{number}")).collect();
        for key in keys {
            let sent = first.invalidate("", &json!({"namespace": NAMESPACE, "keys": [key]})).send().await;
            assert_eq!(sent.status, 202);
        }
    }
    let told = explain(second, NAMESPACE, "eu/1").await;
    let event = &told["last_invalidation"];
    assert_eq!((&event["id"], &event["named"]), (&json!(id), &json!([format!("prefix {NAMESPACE}/eu/")])));
    assert_eq!(
        (&event["source"], &event["reason"], &event["soft"]),
        (&json!("billing"), &json!("prices"), &json!(false))
    );
    assert!(["pubsub", "stream"].contains(&event["path"].as_str().expect("a path")), "{event}");
    assert!(
        event["lag_ms"].as_f64().is_some_and(|lag| (0.0..SOON.as_secs_f64() * 1000.0).contains(&lag)),
        "{event}"
    );
    assert_eq!(told["searched_since"], json!(id));

    // A tag concerns the key only through its copies.
    for instance in [first, second] {
        assert_eq!(instance.get(NAMESPACE, "eu/1").send().await.status, 200);
    }
    let soft = publish(first, json!({"tags": ["team:7", "team:8"], "soft": true})).await;
    let told = explain(second, NAMESPACE, "eu/1").await;
    let event = &told["last_invalidation"];
    assert_eq!(
        (&event["id"], &event["named"], &event["soft"]),
        (&json!(soft), &json!(["tag team:7"]), &json!(true))
    );
    assert_eq!((&told["l1"]["standing"], &told["l1"]["usable"]), (&json!("soft"), &json!("stale")));
    assert_eq!(told["l2"]["standing"], "soft");
    assert_eq!(told_and_done(second, "eu/1").await, both("stale"));
    let nobody = explain(second, NAMESPACE, "never").await;
    assert_eq!(nobody["last_invalidation"], Value::Null, "{nobody}");
}

#[tokio::test]
async fn it_says_who_has_the_lease_and_why_nobody_may_answer() {
    let setup = Setup::new(2).namespace("lease", "30s").namespace("origin.timeout", "30s");
    let setup = setup.namespace("origin.retries", 0).namespace("origin.breaker.failures", 1);
    let setup = setup.namespace("origin.breaker.open_for", "10m");
    let cluster = Cluster::with(setup.set(&format!("namespaces.{OWN}.origin.kind"), "none")).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let reading = spawn(first.get(NAMESPACE, "k").send());
    gate.arrived(1).await;
    for instance in [first, second] {
        let told = explain(instance, NAMESPACE, "k").await;
        assert_eq!(
            (&told["answer"]["from"], &told["lease"]["instance"]),
            (&json!("wait"), &json!(first.id()))
        );
        let left = told["lease"]["left_s"].as_f64().expect("a time");
        assert!(0.0 < left && left <= 30.0, "{told}");
    }
    gate.release();
    assert_eq!(reading.await.expect("it ran to its end").status, 200);
    assert_eq!(explain(second, NAMESPACE, "k").await["lease"], Value::Null);

    // The origin's breaker.
    cluster.origin.behave_always(Behaviour { fault: Some(Fault::Status(500)), ..Behaviour::default() });
    assert_eq!(first.get(NAMESPACE, "broken").send().await.status, 502);
    let told = explain(first, NAMESPACE, "other").await;
    assert_eq!(told["answer"]["from"], "unavailable", "{told}");
    assert!(
        told["answer"]["why"].as_str().is_some_and(|why| why.contains("the origin is not asked")),
        "{told}"
    );

    // Cache-aside.
    assert_eq!(explain(first, OWN, "k").await["answer"]["from"], "lease");
    assert_eq!(first.get(OWN, "k").send().await.status, 404);
    assert_eq!(explain(second, OWN, "k").await["answer"]["from"], "wait");

    // Cut off: what cannot be asked is told.
    cluster.wire(1).cut().await;
    eventually("it is cut off", SOON, async || {
        let told = explain(second, NAMESPACE, "k").await;
        told["attached"] == false && told["answer"]["from"] == "origin" && told["unknown"] != json!([])
    })
    .await;
    assert_eq!(explain(second, OWN, "k").await["answer"]["from"], "unavailable");
}

#[tokio::test]
async fn the_command_tells_it_to_people_and_refusals_are_clear() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    cluster.origin.set("eu/ä", 7);
    assert_eq!(instance.get(NAMESPACE, "eu/%C3%A4").send().await.status, 200);
    let url = instance.admin_url("");
    let ran = coherd(&["explain", NAMESPACE, "eu/ä", "--admin-url", &url]).await;
    assert!(ran.out.starts_with("answer   l1: the copy in L1 is valid and fresh\n"), "{ran:?}");
    assert!(ran.out.contains(&format!("loaded by {} in ", instance.id())), "{ran:?}");
    let unknown = Client::new().get(&instance.admin_url("/v1/explain/nowhere/1")).send().await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &json!("unknown_namespace")));
}
