//! Waiting for a lock: woken when it is given up, without asking all the time, and never for longer than asked.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{assert_locked, delete, held, post};
use crate::harness::instance::{Cluster, Instance};
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};
use crate::refusals::assert_refused;

/// How often an instance has asked Valkey for a lock.
async fn asked(instance: &Instance) -> f64 {
    let series = "coherd_backend_duration_seconds_count{op=\"lock\"}";
    instance.metric(series).await.expect("it is counted")
}

#[tokio::test]
async fn who_waits_gets_the_lock_as_soon_as_it_is_given_up() {
    let cluster = Cluster::start(2).await;
    let (one, other) = (cluster.instance(0), cluster.instance(1));
    let mut took = Duration::ZERO;
    let mut fence = 0;
    for _ in 0..5 {
        let first = held(&post(one, "l", "?ttl=10m").await);
        let before = asked(other).await;
        let waiting = spawn(other.request("POST", "/v1/locks/l?ttl=10m&wait=1m").send());
        eventually("it waits", SOON, async || before < asked(other).await).await;
        assert_eq!(delete(one, "l", &first.token).await.status, 204);
        let given_up = Instant::now();
        let second = held(&waiting.await.expect("the request ends"));
        took += given_up.elapsed();
        assert!(fence < first.fence && first.fence < second.fence);
        fence = second.fence;
        assert_eq!(delete(other, "l", &second.token).await.status, 204);
    }
    // Without the wake-up each would have taken half a second on the average.
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test]
async fn who_waits_gets_the_lock_of_a_holder_that_is_gone_when_it_expires() {
    let mut cluster = Cluster::start(2).await;
    let first = held(&post(cluster.instance(0), "l", "?ttl=2s").await);
    let began = Instant::now();
    cluster.nodes[0].instance.kill().await;
    let second = held(&post(cluster.instance(1), "l", "?wait=1m").await);
    assert!(first.fence < second.fence);
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(2) + SOON / 2, "{waited:?}");
}

#[tokio::test]
async fn a_wait_ends_when_it_was_asked_to_and_says_what_is_left() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    held(&post(instance, "l", "?ttl=10m").await);
    let began = Instant::now();
    let after = assert_locked(&post(instance, "l", "?wait=700ms").await);
    assert!(Duration::from_millis(700) <= began.elapsed() && began.elapsed() < SOON / 2);
    assert!((500..=600).contains(&after), "{after}");
}

#[tokio::test]
async fn however_many_wait_at_an_instance_one_of_them_asks() {
    let cluster = Cluster::start(2).await;
    let (one, other) = (cluster.instance(0), cluster.instance(1));
    let first = held(&post(one, "l", "?ttl=10m").await);
    let before = asked(other).await;
    let waiters: Vec<_> = (0..50)
        .map(|_| {
            let (take, url) =
                (other.request("POST", "/v1/locks/l?ttl=10m&wait=1m").send(), other.url("/v1/locks/l"));
            spawn(async move {
                let lock = held(&take.await);
                let client = crate::harness::http::Client::new();
                let answer = client.delete(&url).header("coherd-lock", &lock.token).send().await;
                assert_eq!(answer.status, 204, "{answer:?}");
                lock.fence
            })
        })
        .collect();
    sleep(Duration::from_secs(3)).await;
    let asked_while_waiting = asked(other).await - before;
    assert!((1.0..=8.0).contains(&asked_while_waiting), "{asked_while_waiting}");

    assert_eq!(delete(one, "l", &first.token).await.status, 204);
    let fences = join_all(waiters).await.into_iter().map(|fence| fence.expect("it gets the lock"));
    let mut fences: Vec<u64> = fences.collect();
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), 50, "each had it once");
    let asked_in_all = asked(other).await - before;
    assert!(asked_in_all <= 8.0 + 3.0 * 50.0, "{asked_in_all}");
}

#[tokio::test]
async fn an_instance_that_stops_lets_nobody_wait() {
    let mut cluster = Cluster::start(1).await;
    let instance = &cluster.nodes[0].instance;
    held(&post(instance, "l", "?ttl=10m").await);
    let waiting: Vec<_> =
        (0..2).map(|_| spawn(instance.request("POST", "/v1/locks/l?wait=10m").send())).collect();
    eventually("one asks", SOON, async || 1.0 < asked(instance).await).await;
    let began = Instant::now();
    instance.terminate();
    for answer in join_all(waiting).await {
        assert_refused("stopping", &answer.expect("it is answered"), 503, "unavailable");
    }
    assert!(cluster.nodes[0].instance.exit(SOON).await.success());
    assert!(began.elapsed() < Duration::from_secs(9), "not by the end of the grace: {:?}", began.elapsed());
}
