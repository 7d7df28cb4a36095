//! Conditional loads: a 304 renews the copy, under the rules of any other load.

use serde_json::json;

use super::{expired, get, max_age, read, refreshes, seen, total};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

const ENTRY: &str = "coherd:{main}:e:things:v1:k";

fn setup(window: &str) -> Setup {
    let setup = Setup::new(2).namespace("ttl_jitter", 0.0).namespace("lease", "30s");
    setup.namespace("origin.timeout", "30s").namespace(window, "10m")
}

fn unchanged() -> Behaviour {
    Behaviour { conditional: true, ..Behaviour::default() }.header("cache-control", "max-age=500")
}

#[tokio::test]
async fn a_refresh_that_finds_nothing_new_renews_the_copy_for_all() {
    let cluster = Cluster::with(setup("stale_while_revalidate")).await;
    expired(&cluster, "k", &[0, 1]).await;
    cluster.origin.behave("k", unchanged());
    for node in &cluster.nodes {
        assert_eq!(read(&node.instance, "k").await.1, Some(1));
        eventually("the copy is fresh again", SOON, async || {
            let answer = get(&node.instance, "k").await;
            assert_eq!(seen(&answer).1, Some(1));
            max_age(&answer) == 500
        })
        .await;
    }
    let loads = (cluster.origin.reads("k"), cluster.origin.not_modified("k"));
    // The two instances loaded it once each at the most; one of them asked whether it still stands.
    assert_eq!((loads.0, loads.1), (2, 1));
    assert!((total(&cluster, &refreshes("stored")).await - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn a_copy_that_still_stands_takes_the_token_of_its_new_load() {
    let cluster = Cluster::with(setup("stale_if_error")).await;
    expired(&cluster, "k", &[0]).await;
    let token = async || cluster.server.command(&["HGET", ENTRY, "t"]).await.text().parse::<u64>().unwrap();
    let before = token().await;
    assert_eq!(cluster.instance(0).purge(NAMESPACE, "another").send().await.status, 200);
    cluster.origin.behave("k", unchanged());
    assert_eq!(read(cluster.instance(1), "k").await.2, "origin");
    assert_eq!(cluster.origin.not_modified("k"), 1);
    assert_eq!(token().await, before + 1);
}

#[tokio::test]
async fn what_stood_before_an_event_is_not_kept_after_it() {
    for window in ["stale_if_error", "stale_while_revalidate"] {
        let cluster = Cluster::with(setup(window)).await;
        expired(&cluster, "k", &[0, 1]).await;
        cluster.origin.behave("k", unchanged());
        // The origin says 304 to what it had when it was asked.
        let gate = cluster.origin.hold("k");
        let reading = spawn(cluster.instance(0).get(NAMESPACE, "k").send());
        gate.arrived(1).await;
        let version = cluster.origin.bump("k");
        let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
        assert_eq!(cluster.instance(1).invalidate("?wait=all", &event).send().await.status, 200);
        gate.release();
        assert_eq!(seen(&reading.await.unwrap()).1, Some(1), "its read began before");
        for node in &cluster.nodes {
            assert_eq!(read(&node.instance, "k").await.1, Some(version), "{window}");
        }
        assert_eq!(cluster.origin.not_modified("k"), 1, "{window}");
    }
}

#[tokio::test]
async fn an_origin_that_knows_dates_only_is_asked_by_date() {
    let cluster = Cluster::with(setup("stale_if_error")).await;
    cluster.origin.set("k", 1);
    let dated = |life: &str| Behaviour { dated: true, ..Behaviour::default() }.header("cache-control", life);
    cluster.origin.behave("k", dated("max-age=1"));
    assert_eq!(read(cluster.instance(0), "k").await.1, Some(1));
    eventually("its time is over and it is asked whether it still stands", SOON, async || {
        assert_eq!(read(cluster.instance(0), "k").await.1, Some(1));
        cluster.origin.not_modified("k") == 1
    })
    .await;
    let version = cluster.origin.bump("k");
    eventually("the new version is there", SOON, async || {
        read(cluster.instance(0), "k").await.1 == Some(version)
    })
    .await;
}
