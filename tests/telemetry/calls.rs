//! Calls of `coherd_invalidate` are logged by the server itself, and counted by one instance each.

use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::wait::{SOON, eventually};

async fn counted(instance: &Instance) -> f64 {
    instance.metric(r#"coherd_invalidations_published_total{source="fcall"}"#).await.expect("a counter")
}

async fn call(cluster: &Cluster, times: usize) {
    for number in 0..times {
        let key = number.to_string();
        let words = ["FCALL", "coherd_invalidate", "1", "coherd:{main}:ctl", "ns", NAMESPACE, "key", &key];
        let reply = cluster.server.command(&words).await.text();
        assert!(reply.ends_with("-0"), "{reply}");
    }
}

#[tokio::test]
async fn a_call_counts_once_in_the_cluster_whoever_restarts_or_catches_up() {
    let mut cluster = Cluster::start(3).await;
    call(&cluster, 20).await;
    let total = async |cluster: &Cluster| {
        let mut total = 0.0;
        for node in &cluster.nodes {
            total += counted(&node.instance).await;
        }
        total
    };
    eventually("all are counted", SOON, async || total(&cluster).await >= 20.0).await;
    assert!((total(&cluster).await - 20.0).abs() < 0.5);

    // One misses some, another starts afresh: both read them in the log, and neither counts them.
    cluster.wire(0).cut().await;
    let gone = counted(cluster.instance(1)).await;
    cluster.nodes[1].instance.kill().await;
    call(&cluster, 20).await;
    cluster.wire(0).restore().await;
    cluster.nodes[1].instance.restart().await;
    eventually("all have caught up", SOON, async || {
        let mut caught_up = true;
        for node in &cluster.nodes {
            let log = &node.instance.admin("/stats").await["log"];
            caught_up &= log["lag_events"] == 0 && log["cursor"] == log["head"];
        }
        caught_up && 40.0 - gone <= total(&cluster).await
    })
    .await;
    call(&cluster, 1).await;
    eventually("the last is counted", SOON, async || 41.0 - gone <= total(&cluster).await).await;
    assert!((total(&cluster).await + gone - 41.0).abs() < 0.5);
}
