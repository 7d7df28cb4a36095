//! A server that is killed and comes back with less than it had, or is emptied.

use crate::harness::instance::{Cluster, NAMESPACE};
use crate::promises::steps::{
    COPY, D, Race, attached, bounded, converges, instances, key_event, nothing_older, passed, publishes,
    send, setup, warm,
};

#[tokio::test]
async fn a_server_restored_from_an_older_dump_brings_nothing_back() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    // With the copies and the leases of the held loads in it.
    let lease = race.cluster.server.command(&["EXISTS", "coherd:{main}:l:things:by-tag"]).await;
    assert_eq!(lease.integer(), 1);
    let dump = race.cluster.server.dump().await;
    race.publish("?wait=all").await;
    race.cluster.server.restart_with(&dump).await;
    race.release().await;
    race.nothing_older().await;
    publishes(instances(&race.cluster)).await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn a_load_that_outlasts_the_restore_is_not_stored_under_its_old_lease() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    let dump = race.cluster.server.dump().await;
    race.publish("?wait=all").await;
    race.cluster.server.restart_with(&dump).await;
    publishes(instances(&race.cluster)).await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn an_event_under_a_number_that_was_used_before_is_applied() {
    let mut cluster = Cluster::with(setup(D)).await;
    cluster.origin.set(COPY, 1);
    warm(&cluster, COPY).await;
    let dump = cluster.server.dump().await;
    for _ in 0..10 {
        assert_eq!(cluster.instance(0).purge(NAMESPACE, "other").send().await.status, 200);
    }
    cluster.server.restart_with(&dump).await;
    publishes(instances(&cluster)).await;
    for version in 2..5 {
        warm(&cluster, COPY).await;
        cluster.origin.set(COPY, version);
        let answer = cluster.instance(0).invalidate("?wait=all", &key_event(COPY)).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        nothing_older(&cluster, &[COPY]).await;
    }
    converges(&cluster, &[COPY]).await;
}

#[tokio::test]
async fn a_server_that_comes_back_with_nothing_brings_nothing_back() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    race.publish("?wait=all").await;
    race.cluster.server.restart_empty().await;
    nothing_older(&race.cluster, &[COPY]).await;
    race.release().await;
    race.nothing_older().await;
    publishes(instances(&race.cluster)).await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn an_event_after_flushall_reaches_everyone() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    assert_eq!(race.cluster.server.command(&["FLUSHALL"]).await.text(), "OK");
    let (logged, _) = race.publish("").await;
    bounded(race.victim(), COPY, 2, logged).await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn flushall_takes_no_event_back() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    let (logged, _) = race.publish("").await;
    assert_eq!(race.cluster.server.command(&["FLUSHALL"]).await.text(), "OK");
    passed(D, logged).await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn an_event_while_the_server_stands_still_counts_from_when_it_is_logged() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    race.cluster.server.pause();
    let publishing = send(race.cluster.instance(0).invalidate("", &Race::event()));
    attached(race.victim(), false).await;
    race.cluster.server.resume();
    publishes(instances(&race.cluster)).await;
    // It may or may not have been logged: the publisher tries again.
    drop(publishing.await);
    let (logged, _) = race.publish("").await;
    passed(D, logged).await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}
