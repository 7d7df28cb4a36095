//! Wall clocks that are stepped by an hour and back. Nothing that is promised may go by them.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::Struck;
use super::target::any;
use crate::chaos::world::{SERVER_CLOCK, World};
use crate::harness::clock::Clocks;

/// In seconds.
const STEP: i64 = 3_600;

/// An instance's clock.
pub(super) async fn instance(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let node = any(world, rng).await;
    let by = step(clocks(world), node.instance.id(), rng, hold).await;
    Struck { target: format!("{}, {by:+}s", node.instance.id()) }
}

/// The server's clock.
pub(super) async fn server(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let _server = world.server.lock().await;
    let by = step(clocks(world), SERVER_CLOCK, rng, hold).await;
    Struck { target: format!("server, {by:+}s") }
}

async fn step(clocks: &Clocks, name: &str, rng: &mut StdRng, hold: Duration) -> i64 {
    let by = if rng.random() { STEP } else { -STEP };
    clocks.set(name, by);
    sleep(hold).await;
    clocks.set(name, 0);
    by
}

fn clocks(world: &World) -> &Clocks {
    world.clocks.as_ref().expect("the world was made with clocks, as this kind needs")
}
