//! `coherd serve` as a process: it gets ready, shares what it knows, and ends as it should.

use std::time::Duration;

use serde_json::json;

use crate::harness::instance::{Cluster, Config, Instance, NAMESPACE, Setup};
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
#[ignore = "needs `coherd serve`"]
async fn an_instance_cut_off_from_valkey_catches_up_once_it_is_back() {
    let setup = Setup::new(2).set("coherence.max_staleness", "1s").namespace("ttl", "60s");
    let cluster = Cluster::with(setup).await;
    let (publisher, reader) = (cluster.instance(0), cluster.instance(1));
    cluster.origin.set("k", 1);
    assert_eq!(reader.get(NAMESPACE, "k").send().await.json()["version"], 1);

    cluster.wire(1).cut().await;
    cluster.origin.set("k", 2);
    let purged = publisher.purge(NAMESPACE, "k").send().await;
    assert_eq!(purged.status, 200);
    cluster.wire(1).restore().await;

    eventually("the reader has heard of it", SOON, async || {
        reader.get(NAMESPACE, "k").send().await.json()["version"] == 2
    })
    .await;
    let id = purged.header("coherd-log-id").expect("a purge has a place in the log");
    let own = reader.get(NAMESPACE, "k").header("coherd-min-log-id", id).send().await;
    assert_eq!(own.json()["version"], 2);
}

#[tokio::test]
#[ignore = "needs `coherd serve`"]
async fn wait_all_outlasts_an_instance_that_is_paused() {
    let cluster = Cluster::with(Setup::new(2).set("coherence.max_staleness", "1s")).await;
    cluster.instance(1).pause();
    let event = json!({ "namespace": NAMESPACE, "keys": ["k"] });
    let answer = cluster.instance(0).invalidate("?wait=all&timeout=5s", &event).send().await;
    cluster.instance(1).resume();
    assert_eq!((answer.status, &answer.json()["missing"]), (200, &json!([cluster.instance(1).id()])));
}

#[tokio::test]
#[ignore = "needs `coherd serve`"]
async fn an_instance_that_was_killed_comes_back_and_one_that_is_told_to_stop_ends_with_zero() {
    let mut cluster = Cluster::start(1).await;
    cluster.origin.set("k", 1);
    let instance = &mut cluster.nodes[0].instance;
    assert_eq!(instance.get(NAMESPACE, "k").send().await.status, 200);

    instance.kill().await;
    assert!(!instance.is_ready().await);
    instance.configure("log.level", "info");
    instance.restart().await;
    let hit = instance.get(NAMESPACE, "k").send().await;
    assert!(hit.header("cache-status").is_some_and(|status| status.contains("detail=l2")), "{hit:?}");
    let series = format!("coherd_requests_total{{namespace=\"{NAMESPACE}\",result=\"l2\"}}");
    assert_eq!(instance.metric(&series).await, Some(1.0));
    assert_eq!(instance.admin("/stats").await["namespaces"][NAMESPACE]["l2_hits"], 1);

    instance.terminate();
    assert_eq!(instance.exit(SOON).await.code(), Some(0));
    assert!(cluster.server.info("connected_clients").await.is_some(), "the server is still there");
}

#[tokio::test]
#[ignore = "needs `coherd serve`"]
async fn what_is_stored_by_an_application_is_everywhere_until_it_is_removed() {
    let setup = Setup::new(2).set("namespaces.own.origin.kind", "none");
    let cluster = Cluster::with(setup).await;
    let (first, second) = (cluster.instance(0), cluster.instance(1));
    assert_eq!(first.put("own", "k", "value").send().await.status, 200);
    eventually("the other has it", SOON, async || second.get("own", "k").send().await.text() == "value")
        .await;
    assert_eq!(second.delete("own", "k").send().await.status, 200);
    eventually("the first has it no longer", SOON, async || first.get("own", "k").send().await.status == 404)
        .await;
    assert_eq!(first.request("PATCH", "/v1/cache/own/k").send().await.status, 405);
}

#[tokio::test]
#[ignore = "needs `coherd serve`"]
async fn a_configuration_with_a_fault_ends_the_start_with_two_and_names_the_key() {
    let server = Server::start().await;
    let config = Config::new("wrong", &server.url_at(server.addr())).set("coherence.max_stalenes", "1s");
    let mut instance = Instance::launch(config);
    assert_eq!(instance.exit(Duration::from_secs(10)).await.code(), Some(2));
    assert!(instance.output().contains("coherence.max_stalenes"), "{}", instance.output());
}
