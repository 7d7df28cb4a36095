//! Refresh-ahead: hot keys are loaded anew before they expire, by one instance for all.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{get, read, refreshes, seen, total};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::wait::{SOON, eventually};

/// How long the key is read.
const WHILE: Duration = Duration::from_secs(13);
/// Its life.
const LIFE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn readers_of_a_hot_key_never_meet_its_expiry_and_one_instance_refreshes_for_all() {
    let setup = Setup::new(3).set("log.level", "info").namespace("refresh_ahead", 2.0);
    let cluster = Cluster::with(setup).await;
    cluster.origin.set("k", 1);
    let slow = Behaviour { delay: Duration::from_millis(150), ..Behaviour::default() };
    cluster.origin.behave("k", slow.header("cache-control", "max-age=4"));
    assert_eq!(read(cluster.instance(0), "k").await.2, "origin");

    let began = Instant::now();
    let readers = cluster.nodes.iter().map(|node| async {
        let mut reads = 0;
        while began.elapsed() < WHILE {
            let answer = get(&node.instance, "k").await;
            let (status, _, detail) = seen(&answer);
            assert!(status == 200 && (detail == "l1" || detail == "l2"), "after {reads} reads: {answer:?}");
            reads += 1;
            sleep(Duration::from_millis(5)).await;
        }
        reads
    });
    let reads: Vec<u32> = join_all(readers).await;

    let loads = cluster.origin.reads("k") - 1;
    let rounds = began.elapsed().as_secs_f64() / LIFE.as_secs_f64();
    // Each is well before the end of the copy's life and well after its beginning.
    let most = rounds * 4.0;
    let stored = total(&cluster, &refreshes("stored")).await;
    #[expect(clippy::cast_precision_loss, reason = "a few loads")]
    let loads = loads as f64;
    assert!(rounds.floor() <= loads && loads <= most, "{loads} loads in {rounds} lives, {reads:?} reads");
    assert!((stored - loads).abs() < 1.5, "{stored} refreshes stored, {loads} loads");
}

#[tokio::test]
async fn without_it_a_key_is_not_loaded_before_its_time() {
    let cluster = Cluster::with(Setup::new(1)).await;
    cluster.origin.set("k", 1);
    let slow = Behaviour { delay: Duration::from_millis(150), ..Behaviour::default() };
    cluster.origin.behave("k", slow.header("cache-control", "max-age=2"));
    assert_eq!(read(cluster.instance(0), "k").await.2, "origin");
    let began = Instant::now();
    while cluster.origin.reads("k") == 1 {
        read(cluster.instance(0), "k").await;
    }
    // What the load took counts as part of the life.
    assert!(Duration::from_millis(1800) < began.elapsed(), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_event_that_races_a_refresh_before_the_time_is_not_lost() {
    // So eager that nearly every read of a copy whose load took a while is a wish.
    let setup = Setup::new(2).namespace("refresh_ahead", 100.0).namespace("lease", "30s");
    let cluster = Cluster::with(setup.namespace("origin.timeout", "30s")).await;
    let events = [
        json!({"tags": ["team:7"]}),
        json!({"namespace": NAMESPACE, "prefixes": ["eu/"]}),
        json!({"namespace": NAMESPACE, "all": true}),
    ];
    for (number, event) in (0..).zip(events) {
        let key = format!("eu/{number}");
        cluster.origin.set(&key, 1);
        let slow = Behaviour { delay: Duration::from_millis(100), ..Behaviour::default() };
        cluster.origin.behave(&key, slow.header("cache-tag", "team:7").header("cache-control", "max-age=5"));
        assert_eq!(read(cluster.instance(0), &key).await.1, Some(1));
        cluster.origin.behave(&key, Behaviour::default().header("cache-tag", "team:7"));
        let gate = cluster.origin.hold(&key);
        eventually("a refresh is under way", SOON, async || {
            assert_eq!(read(cluster.instance(0), &key).await.1, Some(1));
            0 < gate.count()
        })
        .await;
        // The refresh has read version 1.
        cluster.origin.set(&key, 2);
        assert_eq!(cluster.instance(1).invalidate("?wait=all", &event).send().await.status, 200);
        gate.release();
        for node in &cluster.nodes {
            for _ in 0..10 {
                assert_eq!(read(&node.instance, &key).await.1, Some(2), "{event}");
            }
        }
    }
}
