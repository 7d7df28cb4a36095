//! The breaker before Valkey.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{CLOSED, HALF_OPEN, OPEN, degraded, in_stats, retry_after, state};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::wait::{SOON, eventually};

const TARGET: &str = "backend";

async fn start(open_for: &str) -> Cluster {
    let setup = Setup::new(1)
        .set("log.level", "info")
        .set("backend.command_timeout", "400ms")
        .set("backend.connect_timeout", "400ms")
        .set("backend.breaker.failures", 3)
        .set("backend.breaker.open_for", open_for)
        .set("coherence.max_staleness", "1s");
    let cluster = Cluster::with(setup).await;
    for number in 0..20 {
        cluster.origin.set(&format!("k{number}"), 1);
    }
    cluster
}

#[tokio::test]
async fn a_server_that_stands_still_is_left_alone_and_a_new_connection_closes_the_breaker_at_once() {
    let cluster = start("50s").await;
    let instance = cluster.instance(0);
    assert_eq!(instance.get(NAMESPACE, "k0").send().await.status, 200);
    assert_eq!((state(instance, TARGET).await, in_stats(instance, TARGET).await), (CLOSED, "closed".into()));
    cluster.server.pause();
    eventually("it opens", SOON, async || state(instance, TARGET).await == OPEN).await;
    assert_eq!(in_stats(instance, TARGET).await, "open");
    // As detached: reads go past the copies, and none waits for a time-out.
    eventually("it is cut off, too", SOON, async || {
        degraded(instance).await == ["detached", "breaker_open: backend"]
    })
    .await;
    let began = Instant::now();
    for number in 1..20 {
        let answer = instance.get(NAMESPACE, &format!("k{number}")).send().await;
        assert_eq!((answer.status, answer.json()["version"].as_u64()), (200, Some(1)));
        assert_eq!(answer.header("cache-status"), Some("coherd; fwd=bypass; detail=detached"));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let event = json!({"namespace": NAMESPACE, "keys": ["k1"]});
    for refused in [
        instance.invalidate("", &event).send().await,
        instance.purge(NAMESPACE, "k1").send().await,
        instance.request("POST", "/v1/locks/l").send().await,
    ] {
        assert!((10..=50).contains(&retry_after(&refused)), "{refused:?}");
    }

    cluster.server.resume();
    let resumed = Instant::now();
    eventually("it is attached", SOON, async || degraded(instance).await.is_empty()).await;
    // Not after the fifty seconds.
    assert!(resumed.elapsed() < Duration::from_secs(5), "{:?}", resumed.elapsed());
    assert_eq!(state(instance, TARGET).await, CLOSED);
    assert_eq!(instance.invalidate("?wait=all", &event).send().await.status, 200);
    let answer = instance.get(NAMESPACE, "k2").send().await;
    assert_eq!(answer.header("cache-status"), Some("coherd; fwd=miss; stored; detail=origin"));
}

#[tokio::test]
async fn while_it_is_away_one_call_after_the_other_tries_it() {
    let mut cluster = start("700ms").await;
    cluster.server.kill().await;
    let instance = cluster.instance(0);
    for _ in 0..2 {
        eventually("it opens", SOON, async || state(instance, TARGET).await == OPEN).await;
        eventually("it tries", SOON, async || state(instance, TARGET).await == HALF_OPEN).await;
    }
    cluster.server.restart().await;
    let instance = cluster.instance(0);
    eventually("it is attached", SOON, async || degraded(instance).await.is_empty()).await;
    assert_eq!(state(instance, TARGET).await, CLOSED);
}
