//! Wires that are cut, held up or torn.

use std::time::Duration;

use super::{NOTICED, connections, detached, hit, seen, world};
use crate::chaos::faults::Kind;
use crate::harness::wait::{SOON, eventually};

/// The fault cuts one instance off from the log.
async fn cuts_off(kind: Kind) {
    let world = world().await;
    let (struck, cut_off) = seen(kind, &world, NOTICED, detached).await;
    // On a machine that is busy, others may miss a few heartbeats, too.
    assert!(cut_off.contains(&struck.target), "{struck:?}, {cut_off:?}");
}

/// The fault makes instances connect again: it says which, or all.
async fn reconnects(kind: Kind) {
    let world = world().await;
    let before = connections(&world).await;
    let struck = hit(kind, &world, Duration::from_millis(500)).await;
    for (number, at) in world.endpoints.iter().enumerate() {
        if struck.target == at.id || struck.target.starts_with("server") {
            let what = format!("{} connects again: {struck:?}", at.id);
            eventually(&what, SOON, async || before[number] < connections(&world).await[number]).await;
        }
    }
}

#[tokio::test]
async fn an_instance_is_cut_off() {
    cuts_off(Kind::Cut).await;
}

#[tokio::test]
async fn a_wire_carries_nothing() {
    cuts_off(Kind::Stall).await;
}

#[tokio::test]
async fn a_wire_is_slow_and_then_carries_nothing() {
    cuts_off(Kind::Choke).await;
}

#[tokio::test]
async fn an_instance_is_not_heard() {
    cuts_off(Kind::Unheard).await;
}

#[tokio::test]
async fn an_instance_hears_nothing() {
    cuts_off(Kind::Deaf).await;
}

#[tokio::test]
async fn a_wire_is_slow() {
    cuts_off(Kind::Delay).await;
}

#[tokio::test]
async fn connections_are_reset() {
    reconnects(Kind::Reset).await;
}

#[tokio::test]
async fn subscriptions_are_ended() {
    reconnects(Kind::KillPubsub).await;
}

#[tokio::test]
async fn connections_are_ended() {
    reconnects(Kind::KillNormal).await;
}

#[tokio::test]
async fn buffers_overflow() {
    reconnects(Kind::BufferOverflow).await;
}
