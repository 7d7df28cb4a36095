//! `coherence.tracking`: what a system that knows nothing of coherd does to an entry drops the copies of it everywhere,
//! and what instances do does not.

use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::wait::{SOON, eventually};
use crate::promises::steps::{all_attached, instances, read, warm};

const DROPPED: &str = r#"coherd_invalidations_applied_total{kind="key",path="tracking"}"#;
const FOREIGN: &str = r#"coherd_invalidations_published_total{source="tracking"}"#;

fn entry(key: &str) -> String {
    format!("coherd:{{main}}:e:{NAMESPACE}:v1:{key}")
}

/// Three instances whose copies last as long as the test.
async fn tracked() -> Cluster {
    let setup =
        Setup::new(3).set("coherence.tracking", true).namespace("ttl", "10m").namespace("ttl_jitter", 0.0);
    let cluster = Cluster::with(setup).await;
    all_attached(&cluster).await;
    cluster
}

/// Loaded by one, and in the memory of all.
async fn everywhere(cluster: &Cluster, key: &str) -> u64 {
    let version = cluster.origin.bump(key);
    warm(cluster, key).await;
    version
}

async fn count(at: &Instance, series: &str) -> f64 {
    at.metric(series).await.unwrap_or_default()
}

/// Waits until every instance answers with that version, and nobody has said that it changed.
async fn arrives(cluster: &Cluster, key: &str, version: u64) {
    for at in instances(cluster) {
        eventually("the copy is dropped", SOON, async || read(at, key).await == version).await;
    }
}

#[tokio::test]
async fn a_plain_del_of_an_entry_drops_its_copies_on_all_instances() {
    let cluster = tracked().await;
    let before = everywhere(&cluster, "k").await;
    let newer = cluster.origin.bump("k");
    for at in instances(&cluster) {
        assert_eq!(read(at, "k").await, before, "nobody has said that it changed");
    }
    assert_eq!(cluster.server.command(&["DEL", &entry("k")]).await.integer(), 1);
    arrives(&cluster, "k", newer).await;
    for at in instances(&cluster) {
        assert!(1.0 <= count(at, DROPPED).await && 1.0 <= count(at, FOREIGN).await);
    }
}

#[tokio::test]
async fn so_do_a_set_and_an_expiry() {
    let cluster = tracked().await;
    everywhere(&cluster, "set").await;
    everywhere(&cluster, "expiry").await;
    let newer = [cluster.origin.bump("set"), cluster.origin.bump("expiry")];
    assert_eq!(cluster.server.command(&["SET", &entry("set"), "something else"]).await.text(), "OK");
    assert_eq!(cluster.server.command(&["PEXPIRE", &entry("expiry"), "1"]).await.integer(), 1);
    arrives(&cluster, "set", newer[0]).await;
    arrives(&cluster, "expiry", newer[1]).await;
}

#[tokio::test]
async fn what_instances_load_and_invalidate_drops_nobodys_copies() {
    let cluster = tracked().await;
    for n in 0..20 {
        let key = n.to_string();
        everywhere(&cluster, &key).await;
        let newer = cluster.origin.bump(&key);
        assert_eq!(cluster.instance(0).purge(NAMESPACE, &key).send().await.status, 200);
        arrives(&cluster, &key, newer).await;
        warm(&cluster, &key).await;
    }
    // By now all that those have caused has been told: what comes last is told last.
    everywhere(&cluster, "last").await;
    cluster.server.command(&["DEL", &entry("last")]).await;
    for at in instances(&cluster) {
        eventually("the last is dropped", SOON, async || 1.0 <= count(at, FOREIGN).await).await;
        assert_eq!(at.metric(FOREIGN).await, Some(1.0), "nothing else was foreign");
        for n in 0..20 {
            let answer = at.get(NAMESPACE, &n.to_string()).send().await;
            let status = answer.header("cache-status").unwrap_or_default().to_owned();
            assert!(status.contains("detail=l1"), "{n}: {status}");
        }
    }
}

#[tokio::test]
async fn what_was_changed_while_nobody_could_tell_is_asked_about() {
    let cluster = tracked().await;
    everywhere(&cluster, "k").await;
    let newer = cluster.origin.bump("k");
    cluster.wire(1).cut().await;
    assert_eq!(cluster.server.command(&["DEL", &entry("k")]).await.integer(), 1);
    cluster.wire(1).restore().await;
    arrives(&cluster, "k", newer).await;
}

#[tokio::test]
async fn without_it_copies_stay() {
    let cluster = Cluster::with(Setup::new(1).namespace("ttl", "10m").namespace("ttl_jitter", 0.0)).await;
    all_attached(&cluster).await;
    let before = everywhere(&cluster, "k").await;
    cluster.origin.bump("k");
    assert_eq!(cluster.server.command(&["DEL", &entry("k")]).await.integer(), 1);
    assert_eq!(read(cluster.instance(0), "k").await, before);
}
