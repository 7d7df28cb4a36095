//! Connections to Valkey that die in silence, one at a time: whatever a connection is for, the instance finds out by
//! itself and makes another.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::proxy::Traffic;
use crate::harness::wait::{SOON, eventually};

/// For commands, for those that may wait for replicas, for messages, for the inbox.
const CONNECTIONS: usize = 4;

fn open(cluster: &Cluster) -> Vec<Arc<Traffic>> {
    cluster.wire(0).connections().into_iter().filter(|connection| !connection.is_left()).collect()
}

#[tokio::test]
async fn each_is_found_and_replaced() {
    let setup = Setup::new(1).set("backend.pool", 1).set("coherence.min_replicas_ack", 1);
    let setup = setup.set("backend.command_timeout", "400ms").set("log.level", "info");
    let cluster = Cluster::with(setup).await;
    let _replica = cluster.server.replica(cluster.server.addr()).await;
    // Or the instance says that it is missing.
    cluster.server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let instance = cluster.instance(0);
    let takes_events = async || {
        let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
        instance.invalidate("", &event).send().await.status == 202
    };
    let mut order = BTreeSet::new();
    for number in 0..CONNECTIONS {
        eventually("every connection is there", SOON, async || {
            takes_events().await && instance.is_sound().await && open(&cluster).len() == CONNECTIONS
        })
        .await;
        let dying = open(&cluster).swap_remove(number);
        order.insert(dying.client());
        dying.stall();
        eventually("it is found to be dead", SOON, async || dying.is_left()).await;
    }
    assert_eq!(order.len(), CONNECTIONS);
    eventually("all is well", SOON, async || takes_events().await && instance.is_sound().await).await;
}
