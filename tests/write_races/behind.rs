//! Write-behind.

use std::time::Duration;

use super::{KEY, at_origin, drained, effects, everywhere, get, had, put, setup};
use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::origin::Effect;
use crate::harness::proxy::Direction;
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn a_write_that_lands_when_its_worker_has_given_up_undoes_no_newer_one() {
    let cluster = Cluster::with(setup(2, "behind").namespace("origin.timeout", "300ms")).await;
    let held = cluster.origin.hold_writes(KEY);
    put(cluster.instance(0), "first", 202).await;
    held.arrived(1).await;
    // Whatever comes now passes.
    cluster.origin.hold_writes(KEY).release();
    put(cluster.instance(1), "second", 202).await;
    had(&cluster, "second", Effect::Applied).await;
    drained(&cluster).await;
    held.release();
    had(&cluster, "first", Effect::Superseded).await;
    assert_eq!(at_origin(&cluster).await, "second");
    everywhere(&cluster, "second").await;
}

#[tokio::test]
async fn a_write_that_comes_while_an_older_one_is_confirmed_is_not_taken_for_it() {
    let cluster = Cluster::with(setup(2, "behind")).await;
    let held = cluster.origin.hold_answers(KEY);
    put(cluster.instance(0), "first", 202).await;
    held.arrived(1).await;
    put(cluster.instance(1), "second", 202).await;
    everywhere(&cluster, "second").await;
    held.release();
    had(&cluster, "second", Effect::Applied).await;
    drained(&cluster).await;
    assert_eq!(at_origin(&cluster).await, "second");
    everywhere(&cluster, "second").await;
    let applied = effects(&cluster).into_iter().filter(|(_, effect)| *effect == Effect::Applied);
    assert_eq!(applied.map(|(value, _)| value).collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test]
async fn a_write_whose_worker_dies_before_it_is_confirmed_is_repeated_and_takes_effect_once() {
    let mut cluster = Cluster::with(setup(2, "behind")).await;
    cluster.nodes[1].instance.kill().await;
    let held = cluster.origin.hold_answers(KEY);
    put(cluster.instance(0), "only", 202).await;
    held.arrived(1).await;
    cluster.nodes[0].instance.kill().await;
    held.release();
    cluster.nodes[1].instance.restart().await;
    assert_eq!(get(cluster.instance(1)).await.as_deref(), Some("only"));
    had(&cluster, "only", Effect::Repeated).await;
    drained(&cluster).await;
    let writes = cluster.origin.writes(KEY);
    let applied = writes.iter().filter(|write| write.effect == Effect::Applied).count();
    assert_eq!(applied, 1, "{writes:?}");
    assert!(writes.iter().all(|write| write.idempotency_key == writes[0].idempotency_key), "{writes:?}");
    assert!(writes.iter().all(|write| write.seq.is_some() && write.seq == writes[0].seq), "{writes:?}");
}

/// That nothing is pending was said before the write, and is heard after it: what the origin says from then on is for who
/// came before the write alone.
#[tokio::test]
async fn who_joins_a_load_that_looked_before_a_write_is_answered_with_the_write() {
    let cluster = Cluster::with(setup(2, "behind")).await;
    cluster.origin.set(KEY, 1);
    let held = cluster.origin.hold_writes(KEY);
    cluster.wire(0).delay(Direction::Down, Duration::from_millis(300));
    let first = cluster.instance(0).get(NAMESPACE, KEY).send();
    let race = async {
        let lease = format!("coherd:{{main}}:l:{NAMESPACE}:{KEY}");
        eventually("the load has looked", SOON, async || {
            cluster.server.command(&["EXISTS", &lease]).await.integer() == 1
        })
        .await;
        let accepted = cluster.instance(1).put(NAMESPACE, KEY, "new").send().await;
        let id = accepted.header("coherd-log-id").unwrap().to_owned();
        cluster.instance(0).get(NAMESPACE, KEY).header("coherd-min-log-id", &id).send().await
    };
    let (first, second) = tokio::join!(first, race);
    assert_eq!((first.status, second.status, second.text().as_str()), (200, 200, "new"));
    cluster.wire(0).restore().await;
    held.release();
    drained(&cluster).await;
}

#[tokio::test]
async fn a_load_that_read_before_a_write_does_not_bring_back_what_was() {
    let cluster = Cluster::with(setup(2, "behind")).await;
    cluster.origin.set(KEY, 1);
    let held = cluster.origin.hold(KEY);
    let load = cluster.instance(0).get(NAMESPACE, KEY).send();
    let race = async {
        held.arrived(1).await;
        put(cluster.instance(1), "new", 202).await;
        held.release_first(1);
    };
    // Began before the write: either value is right.
    let (loaded, ()) = tokio::join!(load, race);
    assert_eq!(loaded.status, 200);
    everywhere(&cluster, "new").await;
    held.release();
    drained(&cluster).await;
    assert_eq!(at_origin(&cluster).await, "new");
    everywhere(&cluster, "new").await;
}

#[tokio::test]
async fn a_load_that_read_before_a_removal_does_not_bring_back_what_was() {
    let cluster = Cluster::with(setup(2, "behind")).await;
    cluster.origin.set(KEY, 1);
    let held = cluster.origin.hold(KEY);
    let load = cluster.instance(0).get(NAMESPACE, KEY).send();
    let race = async {
        held.arrived(1).await;
        assert_eq!(cluster.instance(1).delete(NAMESPACE, KEY).send().await.status, 202);
        held.release_first(1);
    };
    tokio::join!(load, race);
    for node in &cluster.nodes {
        assert_eq!(get(&node.instance).await, None, "{}", node.instance.id());
    }
    held.release();
    drained(&cluster).await;
    assert_eq!(cluster.origin.version(KEY), None);
    for node in &cluster.nodes {
        assert_eq!(get(&node.instance).await, None, "{}", node.instance.id());
    }
}
