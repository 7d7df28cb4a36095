//! Valkey goes away, whichever way, and comes back: reads go on, nothing hangs, nothing old is believed.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::proxy::Direction;
use crate::harness::server::Options;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

/// `backend.command_timeout` and `backend.connect_timeout`.
const PATIENCE: Duration = Duration::from_millis(400);
/// What a busy machine, a hundred clients and a debug build may add to that.
const SLACK: Duration = Duration::from_millis(1500);
/// From when the server answers until an instance follows its log again, with half a second for a busy machine.
const ATTACHED_WITHIN: Duration = Duration::from_millis(1500);

const READERS: usize = 100;
const KEYS: usize = 10;

/// Two instances that notice soon.
fn setup() -> Setup {
    Setup::new(2)
        .set("backend.command_timeout", "400ms")
        .set("backend.connect_timeout", "400ms")
        .set("coherence.max_staleness", "1s")
        .set("log.level", "info")
        .namespace("ttl", "60s")
}

/// A cluster whose instances hold half of the keys.
async fn start(setup: Setup) -> Cluster {
    let cluster = Cluster::with(setup).await;
    for number in 0..KEYS {
        cluster.origin.set(&format!("k{number}"), 1);
    }
    for node in &cluster.nodes {
        for number in 0..KEYS / 2 {
            node.instance.get(NAMESPACE, &format!("k{number}")).send().await;
        }
    }
    cluster
}

/// Reads by many at once, at every instance: all are answered, in time.
async fn all_read(cluster: &Cluster) -> Vec<Response> {
    let readers = (0..READERS).map(|reader| async move {
        let instance = cluster.instance(reader % cluster.nodes.len());
        let began = Instant::now();
        let answer = instance.get(NAMESPACE, &format!("k{}", reader % KEYS)).send().await;
        (answer, began.elapsed())
    });
    let answers = timeout(SOON, join_all(readers)).await.expect("nobody hangs");
    for (answer, took) in &answers {
        assert_eq!((answer.status, &answer.json()["version"]), (200, &json!(1)), "{answer:?}");
        assert!(*took < PATIENCE + SLACK, "{took:?}: {answer:?}");
    }
    answers.into_iter().map(|(answer, _)| answer).collect()
}

async fn degraded(instance: &Instance) -> Value {
    let (status, document) = instance.readyz().await;
    assert_eq!(status, 200, "a balancer must not lose all instances at once: {document}");
    document["degraded"].clone()
}

/// What holds while Valkey is away.
async fn reads_go_on(cluster: &Cluster) {
    all_read(cluster).await;
    for node in &cluster.nodes {
        eventually("it is cut off and says so", SOON, async || {
            degraded(&node.instance).await[0] == "detached"
        })
        .await;
    }
    let answers = all_read(cluster).await;
    // What is younger than the bound may be answered all the same.
    let past = answers
        .iter()
        .filter(|answer| answer.header("cache-status").is_some_and(|it| it.contains("detail=detached")));
    assert!(READERS / 2 < past.count());
}

/// What holds once it is back, `since` when.
async fn all_follow_again(cluster: &Cluster, since: Instant) {
    for node in &cluster.nodes {
        eventually("it is attached", SOON, async || degraded(&node.instance).await == json!([])).await;
    }
    let took = since.elapsed();
    assert!(took < ATTACHED_WITHIN, "attached after {took:?}");
    all_read(cluster).await;
    let event = json!({"namespace": NAMESPACE, "all": true});
    let answer = cluster.instance(0).invalidate("?wait=all", &event).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    all_read(cluster).await;
}

#[tokio::test]
async fn a_server_that_is_killed_is_done_without_until_it_is_back() {
    let mut cluster = start(setup()).await;
    cluster.server.kill().await;
    reads_go_on(&cluster).await;
    cluster.server.restart().await;
    all_follow_again(&cluster, Instant::now()).await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_done_without_until_it_goes_on() {
    let cluster = start(setup()).await;
    cluster.server.pause();
    reads_go_on(&cluster).await;
    cluster.server.resume();
    assert_eq!(cluster.server.command(&["PING"]).await.text(), "PONG");
    all_follow_again(&cluster, Instant::now()).await;
}

#[tokio::test]
async fn a_wire_that_swallows_everything_is_done_without_until_it_carries_again() {
    let cluster = start(setup()).await;
    for node in &cluster.nodes {
        node.valkey.stall();
    }
    reads_go_on(&cluster).await;
    for node in &cluster.nodes {
        node.valkey.restore().await;
    }
    all_follow_again(&cluster, Instant::now()).await;
}

#[tokio::test]
async fn a_lease_whose_holder_heard_nothing_of_it_is_given_back_as_soon_as_it_is_connected_again() {
    let cluster = Cluster::with(setup().namespace("lease", "60s").namespace("origin.timeout", "20s")).await;
    let (holder, other, wire) = (cluster.instance(0), cluster.instance(1), cluster.wire(0));
    // Twice for one holder: its value gets nowhere, and it does not learn that it was given the lease.
    for key in ["fill", "claim"] {
        cluster.origin.set(key, 1);
        let gate = cluster.origin.hold(key);
        let reading = if key == "fill" {
            let reading = spawn(holder.get(NAMESPACE, key).send());
            gate.arrived(1).await;
            wire.stall_one_way(Direction::Up);
            reading
        } else {
            wire.stall_one_way(Direction::Down);
            spawn(holder.get(NAMESPACE, key).header("cache-control", "no-cache").send())
        };
        let lease = format!("coherd:{{main}}:l:{NAMESPACE}:{key}");
        eventually("it has the lease", SOON, async || {
            cluster.server.command(&["EXISTS", &lease]).await.integer() == 1
        })
        .await;
        gate.release();
        assert_eq!(reading.await.unwrap().json()["version"], 1, "{key}");

        // What the wire held back is lost.
        wire.cut().await;
        wire.restore().await;
        let began = Instant::now();
        let answer = other.get(NAMESPACE, key).send().await;
        assert_eq!(answer.json()["version"], 1, "{key}: {answer:?} after {:?}", began.elapsed());
        assert!(began.elapsed() < ATTACHED_WITHIN + SLACK, "{key}: {:?}", began.elapsed());
        eventually("the holder is attached", SOON, async || degraded(holder).await == json!([])).await;
    }
}

/// A server that comes back with what it had: nothing that was stored before is believed.
async fn comes_back_with_its_entries(cluster: &mut Cluster, restart: impl AsyncFnOnce(&mut Cluster)) {
    let entry = "coherd:{main}:e:things:v1:k";
    cluster.origin.set("k", 1);
    for node in &cluster.nodes {
        assert_eq!(node.instance.get(NAMESPACE, "k").send().await.json()["version"], 1);
    }
    assert_eq!(cluster.origin.reads("k"), 1);
    restart(cluster).await;
    // Whatever was logged before the end may be lost with it: an old entry must not be answered on its word.
    cluster.origin.set("k", 2);
    assert_eq!(cluster.server.command(&["EXISTS", entry]).await.integer(), 1, "the entry is still there");

    for node in &cluster.nodes {
        eventually("it answers what is true", SOON, async || {
            node.instance.get(NAMESPACE, "k").send().await.json()["version"] == 2
        })
        .await;
    }
    let answer = cluster.instance(0).get(NAMESPACE, "k").send().await;
    assert_eq!(answer.json()["version"], 2);
    eventually("both are attached", SOON, async || {
        let states = join_all(cluster.nodes.iter().map(|node| degraded(&node.instance))).await;
        states.iter().all(|state| *state == json!([]))
    })
    .await;
    for node in &cluster.nodes {
        node.instance.get(NAMESPACE, "k").send().await;
    }
    let reads = cluster.origin.reads("k");
    assert!(2 <= reads, "loaded anew: {reads}");
    for node in &cluster.nodes {
        let answer = node.instance.get(NAMESPACE, "k").send().await;
        assert_eq!(answer.json()["version"], 2);
    }
    assert_eq!(cluster.origin.reads("k"), reads, "and kept again");
}

#[tokio::test]
async fn what_a_restarted_server_has_on_disk_is_loaded_anew() {
    let setup = Setup { server: Options::default().appendonly(), ..setup() };
    let mut cluster = start(setup).await;
    comes_back_with_its_entries(&mut cluster, async |cluster| cluster.server.restart().await).await;
}

#[tokio::test]
async fn what_an_old_dump_brings_back_is_loaded_anew() {
    let mut cluster = start(setup()).await;
    comes_back_with_its_entries(&mut cluster, async |cluster| {
        let dump = cluster.server.dump().await;
        cluster.server.restart_with(&dump).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_dies_unseen_while_it_waits_for_the_inbox_loses_nothing() {
    let cluster = Cluster::with(Setup { instances: 1, ..setup() }).await;
    let (instance, server) = (cluster.instance(0), &cluster.server);
    cluster.origin.set("k", 1);
    assert_eq!(instance.get(NAMESPACE, "k").send().await.json()["version"], 1);

    // The connection that is blocked in the server at this moment, and no other, carries nothing any more.
    let blocked = eventually("it waits for the inbox", SOON, async || {
        let clients = server.command(&["CLIENT", "LIST"]).await.text();
        let blocked = clients.lines().find(|client| client.contains("cmd=xreadgroup"))?;
        blocked.split(' ').find_map(|field| field.strip_prefix("addr="))?.parse().ok()
    })
    .await;
    let connections = cluster.wire(0).connections();
    connections.iter().find(|it| it.client() == Some(blocked)).expect("it is one of the proxy's").stall();
    cluster.origin.set("k", 2);
    server.command(&["XADD", "coherd:{main}:inbox", "*", "ns", NAMESPACE, "key", "k"]).await;

    eventually("the event is obeyed", SOON, async || {
        instance.get(NAMESPACE, "k").send().await.json()["version"] == 2
    })
    .await;
    eventually("the inbox is empty", SOON, async || {
        server.command(&["XLEN", "coherd:{main}:inbox"]).await.integer() == 0
    })
    .await;
    assert_eq!(degraded(instance).await, json!([]));
}
