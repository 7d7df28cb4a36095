//! `coherd serve` as a process: it gets ready, shares what it knows, and ends as it should.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::ports::Port;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
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
async fn wait_all_outlasts_an_instance_that_is_paused() {
    let cluster = Cluster::with(Setup::new(2).set("coherence.max_staleness", "1s")).await;
    cluster.instance(1).pause();
    let event = json!({ "namespace": NAMESPACE, "keys": ["k"] });
    let answer = cluster.instance(0).invalidate("?wait=all&timeout=5s", &event).send().await;
    cluster.instance(1).resume();
    assert_eq!((answer.status, &answer.json()["missing"]), (200, &json!([cluster.instance(1).id()])));
}

#[tokio::test]
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
async fn a_stop_lets_what_is_under_way_finish_takes_nothing_new_and_withdraws_the_membership() {
    let mut cluster = Cluster::with(Setup::new(1).namespace("origin.timeout", "30s")).await;
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let instance = &mut cluster.nodes[0].instance;
    let members = ["HGETALL", "coherd:{main}:mem"];
    assert_eq!(cluster.server.command(&members).await.items().len(), 2, "one member and its state");
    let reading = spawn(instance.get(NAMESPACE, "k").send());
    gate.arrived(1).await;

    instance.terminate();
    let draining = eventually("it drains", SOON, async || {
        let (status, document) = instance.readyz().await;
        (status == 503).then_some(document)
    });
    assert_eq!(draining.await["reasons"], json!(["draining"]));
    eventually("new connections are refused", SOON, async || {
        let refused = TcpStream::connect(instance.addr()).await;
        refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    })
    .await;
    assert_eq!(instance.readyz().await.0, 503, "the admin listener answers to the end");
    gate.release();
    let answer = reading.await.unwrap();
    assert_eq!((answer.status, &answer.json()["version"]), (200, &json!(1)));

    assert_eq!(instance.exit(SOON).await.code(), Some(0));
    assert_eq!(cluster.server.command(&members).await.items(), []);
}

#[tokio::test]
async fn a_second_signal_ends_at_once_what_the_first_was_waiting_for() {
    let mut cluster = Cluster::with(Setup::new(1).namespace("origin.timeout", "30s")).await;
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let instance = &mut cluster.nodes[0].instance;
    let reading = spawn(instance.get(NAMESPACE, "k").try_send());
    gate.arrived(1).await;
    instance.terminate();
    eventually("it drains", SOON, async || instance.readyz().await.0 == 503).await;

    let told = Instant::now();
    instance.terminate();
    assert_eq!(instance.exit(SOON).await.code(), Some(1));
    // Far less than `shutdown_grace`, which is ten seconds.
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    assert!(reading.await.unwrap().is_err());
}

#[tokio::test]
async fn a_server_that_is_demoted_under_a_running_instance_does_not_end_it() {
    let mut cluster =
        Cluster::with(Setup::new(1).set("coherence.max_staleness", "500ms").namespace("ttl", "60s")).await;
    cluster.origin.set("k", 1);
    let nobody = Port::reserve().number().to_string();
    let instance = &mut cluster.nodes[0].instance;
    let role = async |words: &[&str]| assert_eq!(cluster.server.command(words).await.text(), "OK");

    role(&["REPLICAOF", "127.0.0.1", &nobody]).await;
    eventually("it is cut off", SOON, async || {
        let (status, document) = instance.readyz().await;
        assert_eq!(status, 200);
        let degraded = document["degraded"].to_string();
        degraded.contains("detached") && degraded.contains("REPLICAOF NO ONE")
    })
    .await;
    assert_eq!(instance.get(NAMESPACE, "k").send().await.status, 200);

    role(&["REPLICAOF", "NO", "ONE"]).await;
    eventually("it has attached again", SOON, async || instance.is_sound().await).await;
}
