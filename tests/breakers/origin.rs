//! The breaker before an origin.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{CLOSED, HALF_OPEN, OPEN, degraded, in_stats, retry_after, state};
use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

const TARGET: &str = "origin:things";
const FAILURES: usize = 3;
const OPEN_FOR: Duration = Duration::from_secs(3);
/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(60);

/// An instance whose origin has the keys `k0` to `k99`.
async fn start(setup: Setup, open_for: Duration) -> Cluster {
    let setup = setup
        .set("log.level", "info")
        .namespace("origin.breaker.failures", i64::try_from(FAILURES).expect("a few"))
        .namespace("origin.breaker.open_for", format!("{}s", open_for.as_secs()))
        .namespace("origin.retries", 0);
    let cluster = Cluster::with(setup).await;
    for number in 0..100 {
        cluster.origin.set(&format!("k{number}"), 1);
    }
    cluster
}

async fn get(instance: &Instance, number: usize) -> Response {
    instance.get(NAMESPACE, &format!("k{number}")).send().await
}

/// Opens the breaker of an origin that fails, with its first keys. When it opened at the latest.
async fn open(cluster: &Cluster, fault: Fault) -> Instant {
    let instance = cluster.instance(0);
    cluster.origin.behave_always(Behaviour { fault: Some(fault), ..Behaviour::default() });
    let before = cluster.origin.requests();
    for number in 0..FAILURES {
        assert!([502, 504].contains(&get(instance, number).await.status));
    }
    let opened = Instant::now();
    assert_eq!(cluster.origin.requests() - before, FAILURES as u64);
    eventually("it shows", SOON, async || state(instance, TARGET).await == OPEN).await;
    opened
}

/// That reads of many other keys are refused, and the origin hears nothing of them.
async fn is_left_alone(cluster: &Cluster) {
    let before = cluster.origin.requests();
    for answer in join_all((50..70).map(|number| get(cluster.instance(0), number))).await {
        assert!((1..=LONG.as_secs()).contains(&retry_after(&answer)), "{answer:?}");
        assert_eq!(answer.header("cache-status"), Some("coherd; detail=breaker-open"));
    }
    assert_eq!(cluster.origin.requests(), before);
}

#[tokio::test]
async fn it_opens_after_failures_in_a_row_half_opens_with_one_probe_and_closes() {
    let cluster = start(Setup::new(1).beside("others"), OPEN_FOR).await;
    let instance = cluster.instance(0);
    assert_eq!((state(instance, TARGET).await, in_stats(instance, TARGET).await), (CLOSED, "closed".into()));
    let opened = open(&cluster, Fault::Status(500)).await;
    is_left_alone(&cluster).await;
    assert_eq!(degraded(instance).await, ["breaker_open: origin:things"]);
    assert_eq!(in_stats(instance, TARGET).await, "open");
    // Each namespace has its own.
    assert_eq!(instance.get("others", "k1").send().await.status, 502);
    assert_eq!(state(instance, "origin:others").await, CLOSED);

    // The one that tries fails, and so nobody else does.
    let wait = retry_after(&get(instance, 10).await);
    sleep(Duration::from_secs(wait)).await;
    assert!(OPEN_FOR <= opened.elapsed());
    let before = cluster.origin.requests();
    let answers = join_all((20..40).map(|number| get(instance, number))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 502).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 503).count(), 19);
    assert_eq!(cluster.origin.requests() - before, 1);
    is_left_alone(&cluster).await;

    // Whoever waits as long as told finds it trying: one is let through while all others are told to come back.
    cluster.origin.behave_always(Behaviour::default());
    let gate = cluster.origin.hold("k41");
    let wait = retry_after(&get(instance, 40).await);
    sleep(Duration::from_secs(wait)).await;
    let before = cluster.origin.requests();
    let probe = spawn(instance.get(NAMESPACE, "k41").send());
    gate.arrived(1).await;
    for answer in join_all((42..50).map(|number| get(instance, number))).await {
        retry_after(&answer);
    }
    eventually("it shows", SOON, async || state(instance, TARGET).await == HALF_OPEN).await;
    assert_eq!(in_stats(instance, TARGET).await, "half_open");
    assert_eq!(cluster.origin.requests() - before, 1);
    gate.release();
    assert_eq!(probe.await.expect("it ran to its end").status, 200);

    for answer in join_all((42..50).map(|number| get(instance, number))).await {
        assert_eq!(answer.status, 200);
    }
    eventually("it shows", SOON, async || state(instance, TARGET).await == CLOSED).await;
    assert_eq!((degraded(instance).await, in_stats(instance, TARGET).await), (vec![], "closed".into()));
}

#[tokio::test]
async fn stale_copies_are_answered_where_they_may_be_while_the_origin_is_left_alone() {
    let setup = Setup::new(1).namespace("ttl", "1s").namespace("stale_if_error", "60s");
    let cluster = start(setup, LONG).await;
    let instance = cluster.instance(0);
    for number in 80..90 {
        assert_eq!(get(instance, number).await.status, 200);
    }
    sleep(Duration::from_millis(1200)).await;
    open(&cluster, Fault::Status(503)).await;
    let before = cluster.origin.requests();
    for answer in join_all((80..90).map(|number| get(instance, number))).await {
        assert_eq!((answer.status, answer.json()["version"].as_u64()), (200, Some(1)), "{answer:?}");
        assert!(answer.header("cache-status").is_some_and(|it| it.ends_with("detail=stale")), "{answer:?}");
    }
    // What an event has named is answered by nobody.
    let event = serde_json::json!({"namespace": NAMESPACE, "keys": ["k80"]});
    assert_eq!(instance.invalidate("?wait=all", &event).send().await.status, 200);
    retry_after(&get(instance, 80).await);
    assert_eq!(cluster.origin.requests(), before);
}

#[tokio::test]
async fn a_hanging_origin_is_left_alone_after_as_many_time_outs() {
    let cluster = start(Setup::new(1).namespace("origin.timeout", "300ms"), LONG).await;
    open(&cluster, Fault::Hang).await;
    let began = Instant::now();
    is_left_alone(&cluster).await;
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for a time-out: {:?}", began.elapsed());
}

#[tokio::test]
async fn what_an_origin_refuses_or_has_not_says_nothing_against_it() {
    let cluster = start(Setup::new(1), LONG).await;
    let instance = cluster.instance(0);
    for (status, answered) in [(403, 502), (404, 404), (301, 502)] {
        let fault = Some(Fault::Status(status));
        cluster.origin.behave_always(Behaviour { fault, ..Behaviour::default() });
        for number in 0..3 * FAILURES {
            assert_eq!(get(instance, number).await.status, answered, "{status}");
        }
        assert_eq!(state(instance, TARGET).await, CLOSED, "{status}");
    }
}
