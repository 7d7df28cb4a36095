//! What covers a copy beside its key: tags by header, by template and by request, and for negative answers as for others.

use serde_json::{Value, json};

use super::{get, read};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};

/// An event obeyed by all.
async fn invalidated(cluster: &Cluster, event: Value) {
    let answer = cluster.instance(0).invalidate("?wait=all", &event).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_tag_by_template_covers_every_value() {
    let setup = Setup::new(2).namespace("tags", vec!["{namespace}-of:{key}", "everything"]);
    let cluster = Cluster::with(setup).await;
    for key in ["a/1", "a/2"] {
        cluster.origin.set(key, 1);
        for node in &cluster.nodes {
            assert_eq!(read(&node.instance, key).await.1, Some(1));
        }
    }
    for key in ["a/1", "a/2"] {
        cluster.origin.set(key, 2);
    }
    invalidated(&cluster, json!({"tags": ["things-of:a/1"]})).await;
    for node in &cluster.nodes {
        assert_eq!(read(&node.instance, "a/1").await.1, Some(2));
        assert_eq!(read(&node.instance, "a/2").await.1, Some(1), "another key's tag");
    }
    invalidated(&cluster, json!({"tags": ["everything"]})).await;
    for node in &cluster.nodes {
        assert_eq!(read(&node.instance, "a/2").await.1, Some(2));
    }
}

#[tokio::test]
async fn a_tag_that_the_request_gives_covers_what_it_stores() {
    let cluster = Cluster::with(Setup::new(2).set("namespaces.own.origin.kind", "none")).await;
    let headers = [("cache-tag", "t1, t2"), ("surrogate-key", "t1 t2"), ("cache-groups", "\"t1\", \"t2\"")];
    for (name, value) in headers {
        let stored = cluster.instance(0).put("own", "k", "value").header(name, value).send().await;
        assert_eq!(stored.status, 200, "{stored:?}");
        for node in &cluster.nodes {
            assert_eq!(node.instance.get("own", "k").send().await.text(), "value", "{name}");
        }
        invalidated(&cluster, json!({"tags": ["t2"]})).await;
        for node in &cluster.nodes {
            let kept = node.instance.get("own", "k").header("cache-control", "only-if-cached").send().await;
            assert_eq!(kept.status, 504, "{name}");
        }
    }
}

#[tokio::test]
async fn that_there_is_no_value_falls_to_every_kind_of_event() {
    let setup = Setup::new(2).namespace("negative_ttl", "1h").namespace("tags", vec!["of:{key}"]);
    let setup = setup.namespace("depends_on", vec!["accounts/{key}"]).beside("accounts");
    let cluster = Cluster::with(setup).await;
    let key = "eu/7";
    let events = [
        json!({"namespace": NAMESPACE, "keys": [key]}),
        json!({"namespace": NAMESPACE, "prefixes": ["eu/"]}),
        json!({"namespace": NAMESPACE, "all": true}),
        json!({"tags": ["of:eu/7"]}),
        json!({"namespace": "accounts", "keys": [key]}),
        json!({"all": true}),
    ];
    for (number, event) in (1..).zip(events) {
        cluster.origin.remove(key);
        invalidated(&cluster, json!({"all": true})).await;
        for node in &cluster.nodes {
            assert_eq!(get(&node.instance, key).await.status, 404);
            assert_eq!(read(&node.instance, key).await, (404, None, "negative".to_owned()));
        }
        cluster.origin.set(key, number);
        invalidated(&cluster, event.clone()).await;
        for node in &cluster.nodes {
            assert_eq!(read(&node.instance, key).await.1, Some(number), "{event}");
        }
    }
}
