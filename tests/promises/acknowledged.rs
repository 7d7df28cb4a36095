//! P2: once `wait=all` has answered 200, no read that starts later, anywhere, returns older data.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::origin::Behaviour;
use crate::harness::proxy::Direction;
use crate::promises::steps::{
    COPY, D, Race, attached, converges, key_event, nothing_older, passed, publishes, read, send, setup,
    version_of, warm,
};

/// What the late way takes beside D, by contract, and what a machine under load may add to it.
const LATE_SLACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn early_once_every_instance_has_confirmed() {
    const LONGER: Duration = Duration::from_secs(3);
    let cluster = Cluster::with(setup(LONGER)).await;
    // Members count for nothing while the lineage is younger than D.
    passed(LONGER, Instant::now()).await;
    for round in 1..=9 {
        cluster.origin.set("k", round);
        warm(&cluster, "k").await;
        cluster.origin.set("k", round + 1);
        let publisher = usize::try_from(round).expect("a small number") % 3;
        let answer = cluster.instance(publisher).invalidate("?wait=all", &key_event("k")).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        nothing_older(&cluster, &["k"]).await;
        let answer = answer.json();
        assert_eq!(answer["mode"], "early", "{answer}");
        assert_eq!(answer["applied"], json!(["inst-0", "inst-1", "inst-2"]));
        assert_eq!(answer["missing"], json!([]));
    }
    converges(&cluster, &["k"]).await;
}

#[tokio::test]
async fn late_past_an_instance_that_stands_still_and_it_wakes_up_without_the_old_value() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    passed(D, Instant::now()).await;
    race.victim().pause();
    let began = Instant::now();
    let (acknowledged, answer) = race.publish("?wait=all").await;
    assert_eq!((&answer["mode"], &answer["missing"]), (&json!("late"), &json!(["inst-2"])));
    assert!(D <= acknowledged - began, "no sooner than the paused instance's lease has run out: {answer}");
    assert!(acknowledged - began < D + LATE_SLACK, "no later than D whoever is dead: {answer}");
    let first = send(race.victim().get(NAMESPACE, COPY));
    race.victim().resume();
    let first = first.await.expect("the request does not panic").expect("it is answered");
    assert_eq!(version_of(&first), 2);
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn late_past_an_instance_that_was_killed() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    race.cluster.nodes[2].instance.kill().await;
    let began = Instant::now();
    let (acknowledged, answer) = race.publish("?wait=all").await;
    assert_eq!((&answer["mode"], &answer["missing"]), (&json!("late"), &json!(["inst-2"])));
    assert!(acknowledged - began < D + LATE_SLACK, "{answer}");
    race.let_go();
    race.cluster.nodes[2].instance.restart().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn out_of_time_it_names_who_is_missing_and_the_event_stands() {
    let cluster = Cluster::with(setup(D)).await;
    cluster.origin.set("k", 1);
    warm(&cluster, "k").await;
    cluster.instance(2).pause();
    cluster.origin.set("k", 2);
    let answer = cluster.instance(0).invalidate("?wait=all&timeout=100ms", &key_event("k")).send().await;
    let logged = Instant::now();
    assert_eq!((answer.status, &answer.json()["code"]), (504, &json!("wait_timeout")), "{answer:?}");
    assert!(
        answer.json()["missing"].as_array().is_some_and(|it| it.contains(&json!("inst-2"))),
        "{answer:?}"
    );
    passed(D, logged).await;
    cluster.instance(2).resume();
    nothing_older(&cluster, &["k"]).await;
    converges(&cluster, &["k"]).await;
}

/// Breaks one way of an instance's wire.
async fn survives(direction: Direction) {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    passed(D, Instant::now()).await;
    race.cluster.wire(2).stall_one_way(direction);
    race.publish("?wait=all").await;
    nothing_older(&race.cluster, &[COPY]).await;
    race.release().await;
    race.nothing_older().await;
    race.cluster.wire(2).restore().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn an_instance_that_hears_and_is_not_heard_is_waited_for() {
    survives(Direction::Up).await;
}

#[tokio::test]
async fn an_instance_that_is_heard_and_does_not_hear_is_waited_for() {
    survives(Direction::Down).await;
}

#[tokio::test]
async fn members_that_flushall_forgot_are_waited_for() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    passed(D, Instant::now()).await;
    race.cluster.wire(2).stall();
    assert_eq!(race.cluster.server.command(&["FLUSHALL"]).await.text(), "OK");
    let (_, answer) = race.publish("?wait=all").await;
    assert_eq!(read(race.victim(), COPY).await, 2);
    assert_eq!(answer["mode"], "late", "the cut instance's lease outlives its membership: {answer}");
    race.release().await;
    race.nothing_older().await;
    race.cluster.wire(2).restore().await;
    race.nothing_older().await;
    attached(race.victim(), true).await;
    race.converges().await;
}

#[tokio::test]
async fn members_that_a_server_without_memory_forgot_are_waited_for() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    passed(D, Instant::now()).await;
    race.cluster.wire(2).stall();
    race.cluster.server.restart_empty().await;
    publishes([race.cluster.instance(0)]).await;
    race.publish("?wait=all").await;
    nothing_older(&race.cluster, &[COPY]).await;
    race.release().await;
    race.cluster.wire(2).restore().await;
    race.nothing_older().await;
    attached(race.victim(), true).await;
    race.converges().await;
}

#[tokio::test]
async fn a_request_that_joins_a_load_from_before_is_not_given_its_result() {
    for event in [key_event("k"), json!({ "tags": ["t"] })] {
        let cluster = Cluster::with(setup(D)).await;
        let at = cluster.instance(1);
        cluster.origin.behave("k", Behaviour::default().header("cache-tag", "t"));
        cluster.origin.set("k", 1);
        let gate = cluster.origin.hold("k");
        let first = send(at.get(NAMESPACE, "k"));
        gate.arrived(1).await;
        cluster.origin.set("k", 2);
        let answer = cluster.instance(0).invalidate("?wait=all", &event).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let joiners: Vec<_> = (0..10).map(|_| send(at.get(NAMESPACE, "k"))).collect();
        // One that is there shows that the others are: all are sent before it.
        let later = at.get("unknown", "k").send().await;
        assert_eq!(later.status, 404);
        gate.release_first(1);
        let first = first.await.expect("the request does not panic").expect("it is answered");
        assert!((1..=2).contains(&version_of(&first)));
        gate.arrived(2).await;
        gate.release();
        for joiner in joiners {
            let answer = joiner.await.expect("the request does not panic").expect("it is answered");
            assert_eq!(version_of(&answer), 2, "{answer:?}");
        }
        converges(&cluster, &["k"]).await;
    }
}

#[tokio::test]
async fn a_joiner_of_a_load_whose_instance_was_cut_off_meanwhile_starts_over() {
    let cluster = Cluster::with(setup(D)).await;
    let at = cluster.instance(1);
    cluster.origin.set("k", 1);
    let gate = cluster.origin.hold("k");
    let first = send(at.get(NAMESPACE, "k"));
    gate.arrived(1).await;
    cluster.wire(1).cut().await;
    cluster.origin.set("k", 2);
    let answer = cluster.instance(0).invalidate("?wait=all", &key_event("k")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let second = send(at.get(NAMESPACE, "k"));
    assert_eq!(at.get("unknown", "k").send().await.status, 404);
    gate.release();
    first.await.expect("the request does not panic").expect("it is answered");
    let second = second.await.expect("the request does not panic").expect("it is answered");
    assert_eq!(version_of(&second), 2);
    cluster.wire(1).restore().await;
    nothing_older(&cluster, &["k"]).await;
    converges(&cluster, &["k"]).await;
}
