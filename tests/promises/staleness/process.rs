//! An instance that stands still for longer than D, or is killed and comes back.

use futures_util::future::join_all;

use crate::harness::instance::{Cluster, NAMESPACE};
use crate::promises::steps::{D, KEYS, Race, passed, send, setup, version_of};

#[tokio::test]
async fn a_paused_instance_answers_nothing_old_when_it_goes_on() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    race.victim().pause();
    let (logged, _) = race.publish("").await;
    passed(D, logged).await;
    race.let_go();
    // They are there, in its sockets, when it wakes up: before it has heard of anything.
    let reads: Vec<_> = KEYS.iter().map(|key| send(race.victim().get(NAMESPACE, key))).collect();
    tokio::task::yield_now().await;
    race.victim().resume();
    let answers = join_all(reads).await;
    for (key, answer) in KEYS.iter().zip(answers) {
        let answer = answer.expect("the request does not panic").expect("it is answered");
        assert!(2 <= version_of(&answer), "{key}: {answer:?}");
    }
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn a_killed_instance_leaves_and_brings_back_nothing_old() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    race.cluster.nodes[2].instance.kill().await;
    let (logged, _) = race.publish("").await;
    race.let_go();
    race.cluster.nodes[2].instance.restart().await;
    passed(D, logged).await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn an_instance_killed_while_it_is_cut_off_starts_with_nothing_old() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    race.cluster.wire(2).cut().await;
    let (logged, _) = race.publish("").await;
    race.cluster.nodes[2].instance.kill().await;
    race.cluster.wire(2).restore().await;
    race.let_go();
    race.cluster.nodes[2].instance.restart().await;
    passed(D, logged).await;
    race.nothing_older().await;
    race.converges().await;
}
