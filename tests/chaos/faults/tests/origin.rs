//! An origin that is slow, silent, failing or behind.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::{seen, world};
use crate::chaos::client::Client;
use crate::chaos::faults::target::Own;
use crate::chaos::faults::{Kind, origin, recovered};
use crate::chaos::world::{Endpoint, World};
use crate::harness::wait::{SOON, eventually};

const HOLD: Duration = Duration::from_millis(1_500);

/// Whether a load through some instance ends with that status while the fault is under way, and goes well after it.
async fn answers(kind: Kind, world: &World, status: u16) -> bool {
    let client = Client::new(SOON);
    let load = async |at: &Endpoint| {
        let own = Own::begin(world, &mut StdRng::from_os_rng());
        own.read(at, &client).await.expect("it answers").status
    };
    let (_, failed) = seen(kind, world, HOLD, async |at: &Endpoint| load(at).await == status).await;
    for at in &world.endpoints {
        assert_eq!(load(at).await, 200);
    }
    !failed.is_empty()
}

#[tokio::test]
async fn the_origin_fails() {
    let world = world().await;
    assert!(answers(Kind::OriginFails, &world, 502).await);
}

#[tokio::test]
async fn the_origin_does_not_answer() {
    let world = world().await;
    assert!(answers(Kind::OriginHangs, &world, 504).await);
}

#[tokio::test]
async fn the_origin_is_slow() {
    let world = world().await;
    assert!(answers(Kind::OriginSlow, &world, 504).await);
}

#[tokio::test]
async fn what_came_from_a_replica_that_lags_is_replaced_in_the_end() {
    let world = world().await;
    let (struck, own) = origin::lags(&world, &mut StdRng::seed_from_u64(1), Duration::from_millis(100)).await;
    assert_eq!(struck.target, "origin, 4 old values");
    let client = Client::new(SOON);
    for at in &world.endpoints {
        eventually("the new value is answered", SOON, async || {
            own.read(at, &client).await.is_ok_and(|answer| answer.json()["version"] == 2)
        })
        .await;
    }
    recovered(&world).await.expect("nothing else is broken");
}
