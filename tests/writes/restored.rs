//! What becomes of writes behind when Valkey comes back with what it once held.

use super::{arrived, drained, effects, put, read, setup};
use crate::harness::instance::{Cluster, Setup};
use crate::harness::server::Options;
use crate::harness::wait::{SOON, eventually};

fn hasty(setup: Setup) -> Setup {
    setup.namespace("lease", "300ms").namespace("origin.timeout", "500ms")
}

#[tokio::test]
async fn an_older_dump_brings_no_write_back_that_a_newer_one_has_followed() {
    let mut cluster = Cluster::with(hasty(setup(2, "behind"))).await;
    let gate = cluster.origin.hold_writes("k");
    put(cluster.instance(0), "k", "older").await;
    gate.arrived(1).await;
    let dump = cluster.server.dump().await;
    gate.release();
    arrived(&cluster, "k", Some("older")).await;
    put(cluster.instance(0), "k", "newer").await;
    arrived(&cluster, "k", Some("newer")).await;
    drained(cluster.instance(0)).await;

    // The worker finds the older write once more, and for as long as it is under way nobody knows what it is worth.
    let before = effects(&cluster, "k").len();
    let gate = cluster.origin.hold_writes("k");
    cluster.server.restart_with(&dump).await;
    gate.arrived(1).await;
    for _ in 0..4 {
        for at in [0, 1] {
            let (status, body, _) = read(cluster.instance(at), "k").await;
            assert!(status == 503 || body == "newer", "{status}: {body}");
        }
    }
    gate.release();
    for at in [0, 1] {
        eventually("it is readable again", SOON, async || {
            let (status, body, _) = read(cluster.instance(at), "k").await;
            assert!(status == 503 || body == "newer", "{status}: {body}");
            status == 200
        })
        .await;
    }
    assert!(before < effects(&cluster, "k").len(), "the origin was asked once more");
}

#[tokio::test]
async fn a_server_that_has_lost_nothing_answers_with_what_is_pending() {
    let kept = Options::default().appendonly().set("appendfsync", "always");
    let mut cluster = Cluster::with(Setup { server: kept, ..hasty(setup(2, "behind")) }).await;
    let gate = cluster.origin.hold_writes("k");
    put(cluster.instance(0), "k", "v").await;
    gate.arrived(1).await;
    cluster.server.kill().await;
    cluster.server.restart().await;
    for at in [0, 1] {
        eventually("it is read while the origin does not have it", SOON, async || {
            let (status, body, detail) = read(cluster.instance(at), "k").await;
            assert!(status == 503 || body == "v", "{status}: {body}");
            detail == "pending-write"
        })
        .await;
    }
    gate.release();
    arrived(&cluster, "k", Some("v")).await;
}
