//! The forms: a key is explained, and what is no longer true is dropped everywhere, once somebody has said yes to it.

use serde_json::{Value, json};

use super::{assert_clean, open, read_everywhere};
use crate::harness::instance::{Cluster, NAMESPACE};

async fn logged(cluster: &Cluster) -> i64 {
    cluster.server.command(&["XLEN", "coherd:{main}:log"]).await.integer()
}

#[tokio::test]
async fn a_key_is_explained_and_then_dropped_on_every_instance() {
    let cluster = Cluster::start(3).await;
    cluster.origin.set("eu/1", 1);
    let old = read_everywhere(&cluster, "eu/1").await;
    let browser = open(cluster.instance(0)).await;
    browser.keys("#explain-key", "eu/1\n").await;
    browser.says("#explained", "the copy in L1 is valid and fresh").await;
    browser.says("#explained", "loaded by").await;
    browser.click("#explained summary").await;
    browser.says("#explained pre", "\"standing\": \"valid\"").await;

    cluster.origin.bump("eu/1");
    assert_eq!(read_everywhere(&cluster, "eu/1").await, old, "nobody was told yet");
    browser.keys("#targets", "eu/1\neu/2\n").await;
    browser.keys("#reason", "renamed").await;
    let before = logged(&cluster).await;
    browser.click("#invalidate-form [type=submit]").await;
    browser.says("#confirm-title", "Drop 2 keys in namespace things?").await;
    browser.says("#confirm-targets", "eu/1\neu/2").await;
    browser.says("#confirm", "cluster main").await;
    let focused = browser.run("return document.activeElement.id").await;
    assert_eq!(focused, "confirm-no", "a return too many must not drop anything");
    browser.screenshot("confirmation").await;
    browser.click("#confirm-no").await;
    assert_eq!(browser.text("#confirm").await, "");
    assert_eq!(logged(&cluster).await, before);
    assert_eq!(read_everywhere(&cluster, "eu/1").await, old, "nobody said yes");

    browser.click("#invalidate-form [type=submit]").await;
    browser.click("#confirm-yes").await;
    browser.says("#invalidated", "No instance can answer with anything older").await;
    for instance in ["inst-0", "inst-1", "inst-2"] {
        browser.says("#invalidated", instance).await;
    }
    assert_eq!(logged(&cluster).await, before + 1);
    assert_ne!(read_everywhere(&cluster, "eu/1").await, old);
    let told = cluster.instance(1).admin(&format!("/v1/explain/{NAMESPACE}/eu/1")).await;
    let event = &told["last_invalidation"];
    assert_eq!((&event["source"], &event["reason"]), (&json!("status-page"), &json!("renamed")));
    let id = event["id"].as_str().expect("an id");
    browser.says("#invalidated", id).await;
    browser.says("#tail", id).await;
    assert_clean(&browser, cluster.instance(0)).await;
}

#[tokio::test]
async fn prefixes_tags_and_whole_namespaces_are_dropped_as_they_were_confirmed() {
    let cluster = Cluster::start(2).await;
    let browser = open(cluster.instance(0)).await;
    let choose = |kind: &str| format!("[name=kind][value={kind}]");
    let events = async |text: &str, id: &str| {
        browser.says("#tail", text).await;
        browser.says("#invalidated", id).await;
    };

    // Wider than what was said yes to: refused, not widened.
    browser.click(&choose("prefixes")).await;
    browser.keys("#targets", "eu").await;
    browser.click("#invalidate-form [type=submit]").await;
    browser.says("#confirm-title", "Drop 1 prefix in namespace things?").await;
    let before = logged(&cluster).await;
    browser.click("#confirm-yes").await;
    browser.says("#invalidated", "bad_request").await;
    assert_eq!(logged(&cluster).await, before);
    browser.keys("#targets", "/").await;
    browser.click("#invalidate-form [type=submit]").await;
    browser.click("#confirm-yes").await;
    events("things: below eu/", "inst-1").await;

    browser.click(&choose("tags")).await;
    assert_eq!(browser.text("#in-namespace").await, "", "tags belong to no namespace");
    browser.run("document.getElementById('targets').value = ''").await;
    browser.keys("#targets", "team:7").await;
    browser.click("#soft").await;
    browser.click("#wait").await;
    browser.click("#invalidate-form [type=submit]").await;
    browser.says("#confirm-title", "Make stale 1 tag in all namespaces?").await;
    browser.click("#confirm-yes").await;
    events("soft tag team:7", "It is in the log.").await;

    browser.click(&choose("all")).await;
    browser.click("#soft").await;
    browser.click("#invalidate-form [type=submit]").await;
    browser.says("#confirm-title", "Drop everything in namespace things?").await;
    browser.says("#confirm-what", "Every key of things").await;
    browser.click("#confirm-yes").await;
    events("things: everything in it", "It is in the log.").await;
}

#[tokio::test]
async fn the_admin_listener_takes_events_as_the_data_listener_does() {
    let cluster = Cluster::start(2).await;
    let client = crate::harness::http::Client::new();
    let url = cluster.instance(0).admin_url("/v1/invalidate?wait=all");
    let answer = client.post(&url, &json!({ "namespace": NAMESPACE, "keys": ["1"] })).send().await;
    let told = answer.json();
    assert_eq!((answer.status, &told["missing"]), (200, &json!([])));
    assert_eq!(told["applied"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer.header("coherd-log-id"), told["id"].as_str());
    let too_much = json!({ "namespace": NAMESPACE, "keys": vec!["k".repeat(500); 4_000] });
    let refused = client.post(&url, &too_much).send().await;
    assert_eq!((refused.status, &refused.json()["code"]), (413, &json!("too_large")));
    let answer = client.get(&cluster.instance(0).admin_url("/v1/rights")).send().await.json();
    let all =
        json!({ "token": Value::Null, "allow": ["read", "write", "invalidate", "admin"], "namespaces": [] });
    assert_eq!(answer, all);
}
