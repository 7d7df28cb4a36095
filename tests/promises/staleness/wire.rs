//! An instance whose wire to the server is cut, stalls, carries one way only, or is slow.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::proxy::{Direction, Proxy};
use crate::harness::wait::{SOON, eventually};
use crate::promises::steps::{COPY, D, Race, attached, bounded, converges, read, setup, warm};

/// Breaks the wire of an instance that has copies and loads under way, and has it read before, while and after it heals.
async fn survives(break_wire: impl AsyncFnOnce(&Proxy)) {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    break_wire(race.cluster.wire(2)).await;
    let (logged, _) = race.publish("").await;
    bounded(race.victim(), COPY, 2, logged).await;
    race.release().await;
    race.nothing_older().await;
    race.cluster.wire(2).restore().await;
    race.nothing_older().await;
    attached(race.victim(), true).await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn cut_off_it_stops_answering_old_values_in_time() {
    survives(async |wire| wire.cut().await).await;
}

#[tokio::test]
async fn half_open_it_stops_answering_old_values_in_time() {
    survives(async |wire| wire.stall()).await;
}

#[tokio::test]
async fn unheard_it_stops_answering_old_values_in_time() {
    survives(async |wire| wire.stall_one_way(Direction::Up)).await;
}

#[tokio::test]
async fn deaf_it_stops_answering_old_values_in_time() {
    survives(async |wire| wire.stall_one_way(Direction::Down)).await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_answer_loses_no_event() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    for bytes in [1, 50, 300] {
        race.cluster.wire(2).reset_after(Direction::Down, bytes);
        let (logged, _) = race.publish("").await;
        bounded(race.victim(), COPY, race.cluster.origin.version(COPY).expect("it is there"), logged).await;
    }
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn replies_that_are_late_by_more_than_d_are_no_proof() {
    const BEATS: &str = "coherd_backend_duration_seconds_count{op=\"beat\"}";
    let cluster = Cluster::with(setup(D).set("backend.command_timeout", "5s")).await;
    cluster.origin.set(COPY, 1);
    warm(&cluster, COPY).await;
    let slow = cluster.instance(2);
    cluster.wire(2).delay(Direction::Down, Duration::from_millis(1500));
    attached(slow, false).await;
    let answered = slow.metric(BEATS).await.expect("heartbeats are counted");

    cluster.origin.set(COPY, 2);
    assert_eq!(cluster.instance(0).purge(NAMESPACE, COPY).send().await.status, 200);
    let logged = Instant::now();
    eventually("heartbeats are answered, each of them late", SOON, async || {
        assert_eq!(slow.metric("coherd_attached").await, Some(0.0));
        let late = D < logged.elapsed();
        assert!(!late || read(slow, COPY).await == 2);
        late && answered + 2.0 <= slow.metric(BEATS).await.expect("heartbeats are counted")
    })
    .await;
    cluster.wire(2).restore().await;
    converges(&cluster, &[COPY]).await;
}
