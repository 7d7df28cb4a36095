//! What waits and what was given up, looked at and tried again.

use serde_json::{Value, json};

use super::{arrived, drained, put, read, setup, version};
use crate::harness::command::coherd;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::wait::{SOON, eventually};

fn refusing(status: u16) -> Behaviour {
    Behaviour { writes: Some(Fault::Status(status)), ..Behaviour::default() }
}

async fn dead(at: &Instance) -> Vec<Value> {
    at.admin("/v1/writes/dead").await["dead"].as_array().cloned().unwrap_or_default()
}

/// Waits for the only dead letter.
async fn letter(at: &Instance) -> Value {
    eventually("a dead letter", SOON, async || dead(at).await.pop()).await
}

async fn post(at: &Instance, what: &str, id: &str) -> Value {
    let body = json!({ "ids": [id] }).to_string();
    let url = at.admin_url(&format!("/v1/writes/{what}"));
    let answer = crate::harness::http::Client::new().request("POST", &url).body(body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn what_the_origin_refuses_is_dead_at_once_and_its_value_is_dropped() {
    let cluster = Cluster::with(setup(2, "behind")).await;
    cluster.origin.set("k", 1);
    cluster.origin.behave("k", refusing(422));
    let id = put(cluster.instance(0), "k", "new").await.header("coherd-write-id").unwrap().to_owned();
    let letter = letter(cluster.instance(1)).await;
    assert_eq!((&letter["id"], &letter["key"], &letter["change"]), (&json!(id), &json!("k"), &json!("put")));
    assert_eq!((&letter["bytes"], &letter["attempts"]), (&json!(3), &json!(1)));
    assert!(letter["error"].as_str().is_some_and(|why| why.contains("422")), "{letter}");
    assert_eq!(cluster.origin.writes("k").len(), 1);
    for number in [0, 1] {
        assert_eq!(version(&read(cluster.instance(number), "k").await.1), Some(1));
    }
}

#[tokio::test]
async fn what_fails_too_often_is_dead_and_can_be_tried_again_or_dropped() {
    let setup = setup(1, "behind").set("write_behind.retry.attempts", 3);
    let cluster = Cluster::with(setup).await;
    let at = cluster.instance(0);
    cluster.origin.behave("k", refusing(500));
    put(at, "k", "new").await;
    let letter = letter(at).await;
    assert_eq!((cluster.origin.writes("k").len(), &letter["attempts"]), (3, &json!(3)));
    let id = letter["id"].as_str().unwrap();
    let retried = post(at, "retry", id).await;
    assert!(retried["retried"][id]["failed"].as_str().is_some_and(|why| why.contains("500")), "{retried}");
    assert_eq!(dead(at).await.len(), 1);
    cluster.origin.behave("k", Behaviour::default());
    assert_eq!(post(at, "retry", id).await["retried"][id], json!("applied"));
    arrived(&cluster, "k", Some("new")).await;
    assert_eq!(read(at, "k").await.1, "new");
    assert_eq!(post(at, "retry", id).await["retried"][id], json!("unknown"));

    cluster.origin.behave("k", refusing(400));
    put(at, "k", "never").await;
    let letter = self::letter(at).await;
    assert_eq!(post(at, "drop", letter["id"].as_str().unwrap()).await, json!({ "dropped": 1 }));
    assert!(dead(at).await.is_empty());
}

#[tokio::test]
async fn a_dead_write_does_not_come_back_over_a_newer_one() {
    let cluster = Cluster::with(setup(1, "behind")).await;
    let at = cluster.instance(0);
    cluster.origin.behave("k", refusing(400));
    put(at, "k", "old").await;
    let letter = letter(at).await;
    let id = letter["id"].as_str().unwrap();
    cluster.origin.behave("k", Behaviour::default());
    put(at, "k", "new").await;
    drained(at).await;
    assert_eq!(post(at, "retry", id).await["retried"][id], json!("superseded"));
    assert_eq!((read(at, "k").await.1.as_str(), dead(at).await.len()), ("new", 0));
}

#[tokio::test]
async fn a_write_that_fails_for_a_while_waits_and_its_neighbours_do_not() {
    let setup = setup(1, "behind").set("write_behind.partitions", 1);
    let setup = setup.set("write_behind.retry.initial", "60s").set("write_behind.retry.max", "60s");
    let cluster = Cluster::with(setup).await;
    let at = cluster.instance(0);
    cluster.origin.behave("sick", refusing(503));
    let id = put(at, "sick", "v").await.header("coherd-write-id").unwrap().to_owned();
    eventually("it was tried", SOON, async || !cluster.origin.writes("sick").is_empty()).await;
    for n in 0..100 {
        put(at, &n.to_string(), "v").await;
    }
    arrived(&cluster, "99", Some("v")).await;
    let waiting = eventually("only it waits", SOON, async || {
        let all = at.admin("/v1/writes/pending").await["pending"].as_array().cloned()?;
        (all.len() == 1).then(|| all[0].clone())
    })
    .await;
    assert_eq!((&waiting["id"], &waiting["attempts"]), (&json!(id), &json!(1)));
    assert!(waiting["due_ms"].as_u64().is_some_and(|due| 0 < due) && waiting["error"].is_string());
    assert_eq!(at.metric("coherd_write_behind_applied_total{outcome=\"retried\"}").await, Some(1.0));
    let stats = eventually("it is counted", SOON, async || {
        let stats = at.admin("/stats").await["writes"].clone();
        (stats["pending"] == json!(1)).then_some(stats)
    });
    assert_eq!(stats.await["dead"], json!(0));

    let shown = coherd(&["writes", "pending", NAMESPACE, "--admin-url", &at.admin_url("")]).await.out;
    assert!(shown.starts_with(&format!("{id}  {NAMESPACE}/sick  since ")), "{shown}");
    assert!(shown.contains("1 attempts") && shown.contains("503"), "{shown}");
}
