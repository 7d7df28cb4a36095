//! How many shards there are is the same for all instances: whoever is told another number does not join.

use serde_json::json;

use super::fleet::{SHARDS, Servers};
use crate::harness::command::coherd;
use crate::harness::instance::{Config, Instance, NAMESPACE};
use crate::harness::wait::SOON;

/// An instance with that many shards ends at its start, and says why.
async fn refused(config: Config, theirs: u16, ours: u16) {
    let mut instance = Instance::launch(config);
    let ended = instance.exit(SOON).await;
    let output = instance.output();
    assert_eq!(ended.code(), Some(3), "{output}");
    let why = format!("spread over {theirs} shards, this instance is told {ours}");
    assert!(output.contains(&why) && output.contains("backend.shards"), "{output}");
}

fn config(id: &str, url: &str, shards: u16) -> Config {
    Config::new(id, url)
        .set("backend.shards", i64::from(shards))
        .set(&format!("namespaces.{NAMESPACE}.origin.kind"), "none")
}

async fn another_number_of_shards_is_refused(servers: Servers) {
    let (url, _) = servers.place();
    let mut first = Instance::start(config("first", &url, SHARDS)).await;
    for other in [1, SHARDS - 1, SHARDS + 1] {
        refused(config("other", &url, other), SHARDS, other).await;
    }
    let published = |shards: u16| {
        let (url, shards) = (url.clone(), shards.to_string());
        async move { coherd(&["invalidate", "--backend", &url, "--shards", &shards, "--tag", "t"]).await }
    };
    let (wrong, right) = (published(SHARDS - 1).await, published(SHARDS).await);
    assert_eq!(wrong.code, Some(3), "{wrong:?}");
    assert!(wrong.err.contains("spread over 4 shards"), "{wrong:?}");
    assert_eq!(right.code, Some(0), "{right:?}");
    first.ready().await;
    let answer = first.invalidate("?wait=all", &json!({ "all": true })).send().await;
    assert_eq!(answer.status, 200, "whoever was there goes on: {answer:?}");
}

#[tokio::test]
async fn another_number_of_shards_is_refused_on_one_server() {
    another_number_of_shards_is_refused(Servers::one().await).await;
}

#[tokio::test]
async fn another_number_of_shards_is_refused_on_a_cluster() {
    another_number_of_shards_is_refused(Servers::ring().await).await;
}

/// The wrong scheme is told apart from a server that is away.
#[tokio::test]
async fn a_cluster_is_told_from_a_server() {
    for (servers, from, to, why) in [
        (Servers::ring().await, "valkey-cluster://", "valkey://", "it is a node of a Cluster"),
        (Servers::one().await, "valkey://", "valkey-cluster://", "is not a node of a Cluster"),
    ] {
        let url = servers.place().0.replace(from, to);
        // Of the servers of a Cluster one.
        let url = url.split(',').next().expect("a first").to_owned();
        let mut instance = Instance::launch(config("lost", &url, 0));
        let ended = instance.exit(SOON).await;
        assert_eq!(ended.code(), Some(3), "{}", instance.output());
        assert!(instance.output().contains(why), "{}", instance.output());
    }
}
