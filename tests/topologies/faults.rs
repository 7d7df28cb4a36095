//! A Cluster that loses a primary, or moves a slot: how long the shards there are away, and that the others are not.
//!
//! That no promise is broken meanwhile, the histories of `chaos` show.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::fleet::{Fleet, Servers, version};
use crate::harness::instance::NAMESPACE;
use crate::harness::ring::{NODE_TIMEOUT, Ring};
use crate::harness::wait::eventually;

/// For a replica to be chosen, and for the instances to find it.
const FAILOVER_MAX: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

fn ring(fleet: &mut Fleet) -> &mut Ring {
    match &mut fleet.servers {
        Servers::Ring(ring) => ring,
        Servers::One(_) => panic!("a cluster was started"),
    }
}

/// The control record of a key's shard.
async fn control(fleet: &Fleet, key: &str) -> String {
    let explained = fleet.instances[0].admin(&format!("/v1/explain/{NAMESPACE}/{key}")).await;
    match explained["shard"].as_u64().expect("a number") {
        0 => "coherd:{main}:ctl".to_owned(),
        other => format!("coherd:{{main.{other}}}:ctl"),
    }
}

/// Whether the key can be invalidated through every instance, and every instance knows what is newest.
async fn works(fleet: &Fleet, key: &str) -> bool {
    let mut newest = 0;
    let event = json!({ "namespace": NAMESPACE, "keys": [key] });
    for at in &fleet.instances {
        newest = fleet.origin.bump(key);
        if at.invalidate("", &event).send().await.status != 202 {
            return false;
        }
    }
    for at in &fleet.instances {
        let answer = at.get(NAMESPACE, key).header("coherd-consistency", "strict").send().await;
        assert_eq!(version(&answer), newest, "{key} at {}", at.id());
        if answer.header("cache-status").is_none_or(|status| status.contains("detached")) {
            return false;
        }
    }
    true
}

/// All keys, and those whose shard the same server has as the first one's.
async fn with_the_first(fleet: &mut Fleet) -> (Vec<String>, Vec<String>) {
    let first = control(fleet, &Fleet::keys()[0]).await;
    let mut controls = Vec::new();
    for key in Fleet::keys() {
        controls.push((control(fleet, &key).await, key));
    }
    let ring = ring(fleet);
    let there = ring.primary(&first).await.addr();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (control, key) in controls {
        let side = if ring.primary(&control).await.addr() == there { &mut with } else { &mut without };
        side.push(key);
    }
    (with, without)
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "how long it took is what it is for")]
async fn a_primary_is_killed_and_only_its_own_shards_wait_for_its_replica() {
    let mut fleet = Fleet::over(Servers::ring().await, &[]).await;
    fleet.set(1);
    fleet.warm(1).await;
    let (lost, others) = with_the_first(&mut fleet).await;
    assert!(!lost.is_empty() && !others.is_empty());
    let first = control(&fleet, &lost[0]).await;
    ring(&mut fleet).kill_primary(&first).await;
    let killed = Instant::now();

    let again = async {
        for key in &lost {
            eventually(&format!("{key} is back"), FAILOVER_MAX, async || works(&fleet, key).await).await;
        }
        killed.elapsed()
    };
    let meanwhile = async {
        let (mut longest, mut worked) = (Duration::ZERO, 0);
        for key in others.iter().cycle() {
            let began = Instant::now();
            assert!(
                works(&fleet, key).await,
                "{key} is on a server that lives, {:?} after",
                killed.elapsed()
            );
            (longest, worked) = (longest.max(began.elapsed()), worked + 1);
            if Duration::from_secs(2) * 2 < killed.elapsed() {
                break;
            }
            sleep(LOOK).await;
        }
        (longest, worked)
    };
    let (took, (longest, worked)) = tokio::join!(again, meanwhile);
    eprintln!(
        "a primary was killed: all {} keys of its shards were back after {took:.2?} (node time-out {NODE_TIMEOUT:?}); \
         of the others {worked} events meanwhile, each to and through all instances within {longest:.2?}",
        lost.len()
    );
    assert!(NODE_TIMEOUT < took, "nobody is chosen before that: {took:?}");
    ring(&mut fleet).restart_killed().await;
    fleet.sound().await;
    for key in Fleet::keys() {
        assert!(works(&fleet, &key).await, "{key}");
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "how long it took is what it is for")]
async fn a_slot_moves_and_its_shard_is_found_again() {
    let mut fleet = Fleet::over(Servers::ring().await, &[]).await;
    fleet.set(1);
    fleet.warm(1).await;
    let key = &Fleet::keys()[0];
    let first = control(&fleet, key).await;
    let before = ring(&mut fleet).primary(&first).await.addr();
    for round in 1..=3 {
        let began = Instant::now();
        ring(&mut fleet).move_slot(&first).await;
        let moved = began.elapsed();
        let arrived = Instant::now();
        eventually(&format!("{key} is found"), FAILOVER_MAX, async || works(&fleet, key).await).await;
        let found = arrived.elapsed();
        eprintln!(
            "move {round}: the slot was moved within {moved:.2?}, its shard was found {found:.2?} later"
        );
        fleet.sound().await;
        for key in Fleet::keys() {
            assert!(works(&fleet, &key).await, "{key}");
        }
    }
    assert_ne!(before, ring(&mut fleet).primary(&first).await.addr(), "three moves do not lead back");
}
