//! The coherence monitor over real instances: what it says of a healthy run, of staleness within the bound, and of an
//! entry that a foreign hand has put back.

use serde_json::json;

use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};

fn monitored(instances: usize) -> Setup {
    Setup::new(instances).set("monitor.sample", 1.0).set("coherence.max_staleness", "1s")
}

async fn checks(instance: &Instance, result: &str) -> f64 {
    let series = format!("coherd_coherence_checks_total{{result=\"{result}\"}}");
    instance.metric(&series).await.expect("a counter")
}

async fn read(instance: &Instance, key: &str) -> String {
    let answer = instance.get(NAMESPACE, key).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

#[tokio::test]
async fn a_healthy_run_is_ok_and_nothing_else() {
    let cluster = Cluster::with(monitored(2)).await;
    for round in 1..=10 {
        cluster.origin.set("k", round);
        let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
        assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
        for node in &cluster.nodes {
            for _ in 0..5 {
                read(&node.instance, "k").await;
            }
        }
    }
    for node in &cluster.nodes {
        // The events, and reads that were answered from copies.
        eventually("all is followed up", SOON, async || 50.0 <= checks(&node.instance, "ok").await).await;
        for result in ["stale_in_bound", "violation", "origin_differs", "inconclusive"] {
            assert!(
                checks(&node.instance, result).await < 0.5,
                "{result}: {}",
                node.instance.metrics().await
            );
        }
    }
}

#[tokio::test]
async fn an_answer_of_an_instance_that_is_cut_off_is_stale_within_the_bound() {
    let cluster = Cluster::with(monitored(2)).await;
    let (late, prompt) = (cluster.instance(0), cluster.instance(1));
    cluster.origin.set("k", 1);
    read(late, "k").await;
    cluster.wire(0).cut().await;
    cluster.origin.set("k", 2);
    assert_eq!(prompt.purge(NAMESPACE, "k").send().await.status, 200);
    // It cannot know, and may answer so for a second.
    let answer = late.get(NAMESPACE, "k").send().await;
    assert!(answer.header("cache-status").is_some_and(|it| it.contains("detail=l1")), "{answer:?}");
    cluster.wire(0).restore().await;
    eventually("it is found", SOON, async || 1.0 <= checks(late, "stale_in_bound").await).await;
    assert!(checks(late, "violation").await < 0.5);
}

#[tokio::test]
async fn an_entry_that_a_foreign_hand_has_put_back_differs_from_the_origin() {
    let cluster = Cluster::with(monitored(1)).await;
    let a = cluster.instance(0);
    let mut client = cluster.server.connect().await;
    let entry = format!("coherd:{{main}}:e:{NAMESPACE}:v1:k");
    cluster.origin.set("k", 1);
    read(a, "k").await;
    let old = client.command(&["HGET", &entry, "v"]).await.expect("the server answers");
    let Reply::Text(old) = old else { panic!("no entry: {old:?}") };
    cluster.origin.set("k", 2);
    a.purge(NAMESPACE, "k").send().await;
    let new = read(a, "k").await;
    // The old value under the new token, for an instance that has no copy of its own.
    client.command(&[&b"HSET"[..], entry.as_bytes(), b"v", &old]).await.expect("the server answers");
    let mut cluster = cluster;
    cluster.nodes[0].instance.restart().await;
    let a = cluster.instance(0);
    assert_ne!(read(a, "k").await, new, "it is there");
    eventually("it is seen", SOON, async || {
        read(a, "k").await;
        1.0 <= checks(a, "origin_differs").await
    })
    .await;
    assert!(checks(a, "violation").await < 0.5);
}
