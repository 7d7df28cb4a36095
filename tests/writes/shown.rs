//! What the metrics say of a queue, also while nobody can look at it.

use super::{put, setup};
use crate::harness::instance::{Cluster, Instance};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::wait::{SOON, eventually};

async fn shown(at: &Instance, metric: &str) -> f64 {
    at.metric(metric).await.expect("the queue has its metrics from the start")
}

#[tokio::test]
async fn what_waits_is_not_said_to_be_done_because_valkey_is_away() {
    let mut cluster = Cluster::with(setup(1, "behind").set("write_behind.backlog_max", 70)).await;
    let writes = Some(Fault::Status(503));
    cluster.origin.behave("stuck", Behaviour { writes, ..Behaviour::default() });
    assert_eq!(put(cluster.instance(0), "stuck", "\"x\"").await.status, 202);
    let waiting = async |at: &Instance| {
        let [pending, oldest] = ["pending", "oldest_seconds"].map(|it| format!("coherd_write_behind_{it}"));
        1.0 <= shown(at, &pending).await && 0.0 < shown(at, &oldest).await
    };
    eventually("it shows", SOON, async || waiting(cluster.instance(0)).await).await;
    assert!(
        (shown(cluster.instance(0), "coherd_write_behind_pending_max").await - 70.0).abs() < f64::EPSILON
    );

    cluster.server.kill().await;
    let instance = cluster.instance(0);
    let failed = async || shown(instance, r#"coherd_backend_errors_total{op="backlog"}"#).await;
    let before = failed().await;
    eventually("it has looked twice in vain", SOON, async || before + 2.0 <= failed().await).await;
    assert!(waiting(instance).await);
}
