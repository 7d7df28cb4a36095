//! Loads across processes: one at a time for a key, whoever dies, fails, hangs or goes away meanwhile.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::harness::http::{Client, Response};
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::resp::Reply;
use crate::harness::server::Server;
use crate::harness::task::{Task, spawn};
use crate::harness::wait::{SOON, eventually};

/// The lease of the key `k`.
const LEASE: &str = "coherd:{main}:l:things:k";

/// What a busy machine may add to anything that is timed.
const SLACK: Duration = Duration::from_millis(1500);

/// So many readers of `k` at one instance.
fn readers(instance: &Instance, count: usize) -> Vec<Task<Response>> {
    (0..count).map(|_| spawn(instance.get(NAMESPACE, "k").send())).collect()
}

/// What they got.
async fn answers(readers: Vec<Task<Response>>) -> Vec<Response> {
    join_all(readers).await.into_iter().map(|answer| answer.expect("the reader ran to its end")).collect()
}

/// The version in an answer that brings one.
fn version(answer: &Response) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["version"].as_u64().expect("a version is a number")
}

/// Descriptors that an instance has open.
async fn descriptors(instance: &Instance) -> f64 {
    instance.metric("process_open_fds").await.expect("a process counts its descriptors")
}

/// Waits until another instance waits for the holder of the lease of `k`.
async fn waited_for(server: &Server) {
    eventually("somebody waits for the lease", SOON, async || {
        matches!(server.command(&["GET", LEASE]).await, Reply::Text(lease) if lease.ends_with(b"|w"))
    })
    .await;
}

#[tokio::test]
async fn a_thousand_readers_of_a_cold_key_at_three_instances_are_one_load() {
    let setup = Setup::new(3).namespace("lease", "30s").namespace("origin.timeout", "30s");
    let cluster = Cluster::with(setup.set("log.level", "info")).await;
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let mut reading = Vec::new();
    for node in &cluster.nodes {
        let before = descriptors(&node.instance).await;
        reading.extend(readers(&node.instance, 334));
        eventually("the readers are there", SOON, async || {
            before + 334.0 <= descriptors(&node.instance).await
        })
        .await;
    }
    gate.arrived(1).await;
    gate.release();
    let answers = answers(reading).await;
    assert!(answers.iter().all(|answer| version(answer) == 1));
    assert_eq!(cluster.origin.reads("k"), 1);
    let loads = answers.iter().filter(|answer| answer.header("cache-status").unwrap().contains("stored"));
    assert_eq!(loads.count(), 1, "one says that it loaded");
}

#[tokio::test]
async fn a_holder_that_is_killed_costs_the_others_no_more_than_its_lease() {
    let setup = Setup::new(3).namespace("lease", "1s").namespace("origin.timeout", "30s");
    let mut cluster = Cluster::with(setup).await;
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let lost = spawn(cluster.instance(0).get(NAMESPACE, "k").try_send());
    gate.arrived(1).await;
    let mut waiting = readers(cluster.instance(1), 10);
    waiting.extend(readers(cluster.instance(2), 10));
    waited_for(&cluster.server).await;

    cluster.nodes[0].instance.kill().await;
    gate.release();
    let killed = Instant::now();
    assert!(answers(waiting).await.iter().all(|answer| version(answer) == 1));
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(1) + SLACK, "{took:?}");
    assert_eq!(cluster.origin.reads("k"), 2, "the killed one's and one more");
    assert!(lost.await.unwrap().is_err());
}

#[tokio::test]
async fn a_holder_that_fails_hands_over_at_once() {
    let setup = Setup::new(2).namespace("lease", "30s").namespace("origin.timeout", "30s");
    let cluster = Cluster::with(setup.namespace("origin.retries", 0)).await;
    cluster.origin.set("k", 1);
    cluster.origin.fail_next("k", &[Fault::Status(500)]);
    let gate = cluster.origin.hold("k");
    let failing = readers(cluster.instance(0), 1);
    gate.arrived(1).await;
    let waiting = readers(cluster.instance(1), 5);
    waited_for(&cluster.server).await;

    gate.release();
    let failed = Instant::now();
    assert!(answers(waiting).await.iter().all(|answer| version(answer) == 1));
    let took = failed.elapsed();
    assert!(took < SLACK, "not the lease's thirty seconds: {took:?}");
    let refused = answers(failing).await.remove(0);
    assert_eq!((refused.status, &refused.json()["code"]), (502, &json!("origin_failed")));
    assert_eq!(cluster.origin.reads("k"), 2);
}

#[tokio::test]
async fn clients_that_go_away_cancel_nothing_that_others_wait_for() {
    let setup = Setup::new(2).namespace("lease", "30s").namespace("origin.timeout", "30s");
    let cluster = Cluster::with(setup).await;
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let instance = cluster.instance(0);
    let idle = descriptors(instance).await;
    // Over HTTP/2 an instance sees at once that nobody wants the answer any more.
    let url = instance.url("/v1/cache/things/k");
    let leaving: Vec<_> = (0..20).map(|_| spawn(Client::http2().get(&url).try_send())).collect();
    gate.arrived(1).await;
    let mut half = TcpStream::connect(instance.addr()).await.unwrap();
    half.write_all(b"GET /v1/cache/things/k HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let joined = readers(instance, 1);
    let elsewhere = readers(cluster.instance(1), 1);
    waited_for(&cluster.server).await;
    eventually("all are there", SOON, async || idle + 20.0 <= descriptors(instance).await).await;

    drop((leaving, half));
    // Beside those that stay, an instance opens and closes a few connections of its own.
    eventually("they are seen to go", SOON, async || descriptors(instance).await < idle + 10.0).await;
    gate.release();
    for reading in [joined, elsewhere] {
        assert_eq!(version(&answers(reading).await[0]), 1);
    }
    assert_eq!(cluster.origin.reads("k"), 1);
}

#[tokio::test]
async fn an_origin_that_hangs_holds_its_readers_no_longer_than_its_timeout() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let setup = Setup::new(3).namespace("lease", "30s").namespace("origin.timeout", "4s");
    let cluster = Cluster::with(setup.namespace("origin.retries", 0)).await;
    cluster.origin.set("k", 1);
    cluster.origin.behave("k", Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    let began = Instant::now();
    let hanging: Vec<_> = (0..3).map(|number| readers(cluster.instance(number), 167)).collect();
    for answer in answers(hanging.into_iter().flatten().collect()).await {
        assert_eq!((answer.status, &answer.json()["code"]), (504, &json!("origin_timeout")));
    }
    let took = began.elapsed();
    assert!(
        TIMEOUT <= took && took < TIMEOUT * 2,
        "nobody tries after the one that waited for all: {took:?}"
    );

    cluster.origin.behave("k", Behaviour::default());
    assert_eq!(version(&cluster.instance(0).get(NAMESPACE, "k").send().await), 1);
    assert_eq!(version(&cluster.instance(1).get(NAMESPACE, "k").send().await), 1);
}

#[tokio::test]
async fn an_origin_that_hangs_holds_no_reader_of_many_keys_either() {
    const TIMEOUT: Duration = Duration::from_millis(1800);
    let setup = Setup::new(1).namespace("lease", "30s").namespace("origin.timeout", "1800ms");
    let setup = setup.namespace("origin.retries", 0).namespace("origin.max_concurrency", 64);
    // No breaker helps.
    let cluster =
        Cluster::with(setup.namespace("origin.breaker.failures", 1000).set("log.level", "info")).await;
    let instance = cluster.instance(0);
    let keys: Vec<String> = (0..500).map(|number| format!("k{number}")).collect();
    for key in &keys {
        cluster.origin.set(key, 1);
    }
    cluster.origin.behave_always(Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    let began = Instant::now();
    let all = join_all(keys.iter().map(|key| instance.get(NAMESPACE, key).send()));
    // Later on the origin has not seen yet that some have given up, while others have come in their place.
    let crowd = async {
        while began.elapsed() < TIMEOUT * 9 / 10 {
            assert!(cluster.origin.peak() <= 64, "{} at once", cluster.origin.peak());
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (all, ()) = tokio::join!(all, crowd);
    let took = began.elapsed();
    // Who waits for a place has its own time-out: two of them, where turns of 64 would be eight.
    assert!(TIMEOUT <= took && took < TIMEOUT * 4, "{took:?}");
    let of = |status: u16| all.iter().filter(|answer| answer.status == status).count();
    assert_eq!(of(504) + of(503), keys.len());
    assert!(64 <= of(504), "{} were at the origin", of(504));

    // Every place is free again, and every lease given up.
    cluster.origin.behave_always(Behaviour::default());
    let all = join_all(keys[..64].iter().map(|key| instance.get(NAMESPACE, key).send())).await;
    assert!(all.iter().all(|answer| version(answer) == 1));
    let leases = cluster.server.command(&["KEYS", "coherd:{main}:l:*"]).await;
    assert_eq!(leases.items().len(), 0);
}

#[tokio::test]
async fn no_more_loads_are_at_the_origin_than_it_can_bear_and_the_rest_are_turned_away_in_time() {
    let setup = Setup::new(1).namespace("origin.max_concurrency", 4).namespace("origin.timeout", "2s");
    let cluster = Cluster::with(setup.namespace("origin.retries", 0)).await;
    let instance = cluster.instance(0);
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for key in &keys {
        cluster.origin.set(key, 1);
    }
    cluster.origin.behave_always(Behaviour { delay: Duration::from_millis(20), ..Behaviour::default() });
    let all = join_all(keys.iter().map(|key| instance.get(NAMESPACE, key).send())).await;
    assert!(all.iter().all(|answer| version(answer) == 1));
    assert_eq!(cluster.origin.peak(), 4);

    cluster.origin.behave_always(Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    let began = Instant::now();
    let names: Vec<String> = (0..20).map(|number| format!("h{number}")).collect();
    let all = join_all(names.iter().map(|key| instance.get(NAMESPACE, key).send())).await;
    assert!(began.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", began.elapsed());
    let of = |status: u16, code: &str| {
        all.iter().filter(|answer| answer.status == status && answer.json()["code"] == code).count()
    };
    assert_eq!((of(504, "origin_timeout"), of(503, "overloaded")), (4, 16));
    let turned_away = all.iter().filter(|answer| answer.status == 503);
    assert!(turned_away.into_iter().all(|answer| answer.header("retry-after").is_some()));
    assert_eq!(cluster.origin.peak(), 4);
}
