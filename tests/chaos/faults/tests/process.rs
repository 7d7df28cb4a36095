//! Instances that are killed, stand still, or are replaced.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::{hit, processes, seen, silent, world};
use crate::chaos::client::Client;
use crate::chaos::drain::drain;
use crate::chaos::faults::process::kill_in_load;
use crate::chaos::faults::{Kind, recovered, strike};
use crate::chaos::written::{BEHIND, KEYS};
use crate::harness::wait::SOON;

const HOLD: Duration = Duration::from_millis(100);

/// How many processes are others than before.
fn changed(before: &[Option<u32>], after: &[Option<u32>]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

#[tokio::test]
async fn a_killed_instance_is_another_process_afterwards() {
    let world = world().await;
    let before = processes(&world).await;
    hit(Kind::Kill, &world, HOLD).await;
    assert_eq!(changed(&before, &processes(&world).await), 1);
}

#[tokio::test]
async fn an_instance_is_killed_while_it_loads() {
    let world = world().await;
    let before = processes(&world).await;
    let (struck, waited) = kill_in_load(&world, &mut StdRng::seed_from_u64(1), HOLD).await;
    assert!(!struck.target.contains(','), "{struck:?}");
    for answer in waited {
        assert!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
    }
    recovered(&world).await.expect("nothing else is broken");
    assert_eq!(changed(&before, &processes(&world).await), 1);
}

#[tokio::test]
async fn an_instance_is_killed_while_it_brings_a_write_to_the_origin() {
    let world = world().await;
    let before = processes(&world).await;
    let (client, at) = (Client::new(SOON), &world.endpoints[0]);
    let write = async || {
        let url = format!("{}/v1/cache/{BEHIND}/{}", at.data, KEYS[0]);
        client.send("PUT", &url, &[], r#"{"version": 1}"#).await
    };
    let mut rng = StdRng::seed_from_u64(1);
    let mut strike = std::pin::pin!(strike(Kind::KillInFlush, &world, &mut rng, HOLD));
    let struck = loop {
        tokio::select! {
            struck = &mut strike => break struck,
            _ = write() => {}
        }
    };
    assert!(!struck.target.contains(','), "{struck:?}");
    recovered(&world).await.expect("nothing else is broken");
    assert_eq!(changed(&before, &processes(&world).await), 1);
    assert!(drain(&world).await, "another brings what was in its hands");
}

#[tokio::test]
async fn an_instance_is_killed_while_somebody_waits_for_it() {
    let world = world().await;
    let before = processes(&world).await;
    let struck = hit(Kind::KillInWait, &world, HOLD).await;
    assert!(struck.target.ends_with(", late"), "{struck:?}");
    assert_eq!(changed(&before, &processes(&world).await), 1);
}

#[tokio::test]
async fn a_paused_instance_does_not_answer() {
    let world = world().await;
    let before = processes(&world).await;
    let (struck, silent) = seen(Kind::Pause, &world, Duration::from_secs(1), silent).await;
    assert!(silent.contains(&struck.target), "{struck:?}, {silent:?}");
    assert_eq!(processes(&world).await, before);
}

#[tokio::test]
async fn every_instance_is_replaced_in_turn() {
    let world = world().await;
    let before = processes(&world).await;
    hit(Kind::RollingRestart, &world, HOLD).await;
    assert_eq!(changed(&before, &processes(&world).await), 2);
}
