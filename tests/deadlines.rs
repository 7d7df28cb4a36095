//! Deadlines: what hangs in the store holds nobody for longer than it must, and is counted.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::proxy::Direction;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

/// Far beyond what the load's lease allows.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(25);

async fn overruns(instance: &Instance, task: &str) -> f64 {
    instance.metric(&format!("coherd_task_overruns_total{{task=\"{task}\"}}")).await.unwrap_or(0.0)
}

#[tokio::test]
async fn a_store_that_hangs_while_a_value_is_kept_costs_its_reader_no_more_than_the_lease() {
    let setup = Setup::new(2).set("log.level", "info").set("backend.command_timeout", "25s");
    let cluster = Cluster::with(setup.namespace("lease", "1s").namespace("origin.retries", 0)).await;
    let (holder, other, wire) = (cluster.instance(0), cluster.instance(1), cluster.wire(0));
    for (key, fault) in [("kept", None), ("failed", Some(Fault::Status(500)))] {
        cluster.origin.set(key, 1);
        cluster.origin.behave(key, Behaviour { fault, ..Behaviour::default() });
        let gate = cluster.origin.hold(key);
        let reading = spawn(holder.get(NAMESPACE, key).send());
        gate.arrived(1).await;
        wire.stall_one_way(Direction::Up);
        let stalled = Instant::now();
        gate.release();
        let answer = reading.await.expect("the reader ran to its end");
        let took = stalled.elapsed();
        assert!(took < COMMAND_TIMEOUT / 2, "{key}: {took:?}");
        assert_eq!(answer.status, if fault.is_none() { 200 } else { 502 }, "{answer:?}");

        // Nor is anybody else kept waiting.
        cluster.origin.behave(key, Behaviour::default());
        assert_eq!(other.get(NAMESPACE, key).send().await.json()["version"], 1, "{key}");
        wire.cut().await;
        wire.restore().await;
        eventually("it is attached", SOON, async || holder.is_sound().await).await;
    }
    assert!((overruns(holder, "cache.fill").await - 1.0).abs() < f64::EPSILON);
}
