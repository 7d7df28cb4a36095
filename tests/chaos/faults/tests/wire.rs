//! Wires that are cut, held up or torn.

use std::time::Duration;

use super::{NOTICED, connections, detached, hit, seen, world};
use crate::chaos::faults::Kind;

/// The fault cuts one instance off from the log.
async fn cuts_off(kind: Kind) {
    let world = world().await;
    let (struck, cut_off) = seen(kind, &world, NOTICED, detached).await;
    assert_eq!(cut_off, [struck.target]);
}

/// The fault makes instances connect again: it says which, or all.
async fn reconnects(kind: Kind) {
    let world = world().await;
    let before = connections(&world).await;
    let struck = hit(kind, &world, Duration::from_millis(500)).await;
    let after = connections(&world).await;
    for (at, (before, after)) in world.endpoints.iter().zip(before.iter().zip(after)) {
        let hit = struck.target == at.id || struck.target.starts_with("server");
        assert!(!hit || *before < after, "{} kept its connections: {struck:?}", at.id);
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
