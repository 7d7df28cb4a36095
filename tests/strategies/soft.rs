//! Soft time-outs: a stale copy is answered after a while, and the load goes on.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{expired, get, read, seen};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

const SOFT: Duration = Duration::from_millis(300);

fn setup(instances: usize) -> Setup {
    let setup = Setup::new(instances).namespace("ttl_jitter", 0.0).namespace("lease", "30s");
    let setup = setup.namespace("origin.timeout", "30s").namespace("origin.soft_timeout", "300ms");
    setup.namespace("stale_if_error", "10m")
}

#[tokio::test]
async fn a_stale_copy_is_answered_after_the_soft_time_out_and_the_load_s_result_is_kept() {
    let cluster = Cluster::with(setup(3)).await;
    expired(&cluster, "k", &[0]).await;
    let version = cluster.origin.bump("k");
    let gate = cluster.origin.hold("k");
    // The first has the copy itself and loads; the second finds it in L2, beside the lease of the first.
    for number in [0, 1] {
        let asked = Instant::now();
        assert_eq!(read(cluster.instance(number), "k").await, (200, Some(1), "stale".to_owned()));
        assert!(SOFT <= asked.elapsed(), "{:?}: not before the origin had its time", asked.elapsed());
    }
    assert_eq!(gate.count(), 1);
    gate.release();
    for number in [0, 1, 2] {
        eventually("the load's result is there", SOON, async || {
            read(cluster.instance(number), "k").await.1 == Some(version)
        })
        .await;
    }
    assert_eq!(cluster.origin.reads("k"), 2);
}

#[tokio::test]
async fn an_origin_that_answers_in_time_is_waited_for() {
    let cluster = Cluster::with(setup(1).namespace("origin.soft_timeout", "20s")).await;
    expired(&cluster, "k", &[0]).await;
    let version = cluster.origin.bump("k");
    assert_eq!(read(cluster.instance(0), "k").await, (200, Some(version), "origin".to_owned()));
}

#[tokio::test]
async fn what_a_hard_event_hit_is_not_answered_however_long_the_load_takes() {
    let cluster = Cluster::with(setup(2)).await;
    expired(&cluster, "k", &[0, 1]).await;
    let version = cluster.origin.bump("k");
    let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
    assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    let gate = cluster.origin.hold("k");
    let mut reading = [0, 1].map(|number| spawn(cluster.instance(number).get(NAMESPACE, "k").send()));
    gate.arrived(1).await;
    for reading in &mut reading {
        assert!(timeout(SOFT * 3, reading).await.is_err(), "there is nothing that may be answered");
    }
    gate.release();
    for reading in reading {
        assert_eq!(seen(&reading.await.unwrap()).1, Some(version));
    }
    assert_eq!(seen(&get(cluster.instance(1), "k").await).1, Some(version));
}
