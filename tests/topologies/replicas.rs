//! Replicas that an event must have reached: those of the server of each shard that it concerns.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::harness::instance::{Config, Instance, NAMESPACE};
use crate::harness::ring::Ring;

/// Far below any time-out.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_event_waits_for_a_replica_of_each_of_its_servers_and_reads_wait_for_none() {
    const KEYS: usize = 40;
    let ring = Ring::start().await;
    let config = Config::new("inst", &ring.url())
        .set("coherence.min_replicas_ack", 1)
        .set(&format!("namespaces.{NAMESPACE}.origin.kind"), "none");
    let at = Instance::start(config).await;
    let keys: Vec<String> = (0..KEYS).map(|n| n.to_string()).collect();
    for key in &keys {
        let answer = at.put(NAMESPACE, key, "1").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let replica = ring.replica("coherd:{main}:ctl").await;
    replica.pause();
    let mut served = 0;
    for key in &keys {
        let asked = Instant::now();
        let answer = at.get(NAMESPACE, key).header("coherd-consistency", "strict").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(asked.elapsed() < AT_ONCE, "{key} took {:?}", asked.elapsed());
        let explained = at.admin(&format!("/v1/explain/{NAMESPACE}/{key}")).await;
        if explained["shard"] == 0 {
            let event = json!({ "namespace": NAMESPACE, "keys": [key] });
            assert_ne!(at.invalidate("", &event).send().await.status, 202, "its replica stands still");
            served += 1;
        }
    }
    assert_ne!(served, 0, "the first shard has keys");
    replica.resume();
    let answer = at.invalidate("?wait=all", &json!({ "all": true })).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
