//! A cluster whose slots move, or that loses a primary.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::Struck;
use crate::chaos::shared::{Shared, base};
use crate::chaos::world::World;

/// A shard's slot moves to another primary, with all that is in it.
pub(super) async fn slot_moved(world: &World, rng: &mut StdRng) -> Struck {
    let mut shared = world.server.lock().await;
    let (shard, ctl) = any(&shared, rng);
    shared.ring().move_slot(&ctl).await;
    world.primary.send_replace(shared.primary().await.addr());
    Struck { target: format!("shard {shard}") }
}

/// A primary is killed, and its replica takes its place; after `hold` it comes back as a replica.
pub(super) async fn primary_killed(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let mut shared = world.server.lock().await;
    let (shard, ctl) = any(&shared, rng);
    let ring = shared.ring();
    ring.kill_primary(&ctl).await;
    let killed = Instant::now();
    let promoted = ring.primary(&ctl).await.addr();
    let took = killed.elapsed();
    sleep(hold).await;
    ring.restart_killed().await;
    ring.is_whole().await;
    world.primary.send_replace(shared.primary().await.addr());
    Struck { target: format!("the primary of shard {shard}, {promoted} took its place after {took:.1?}") }
}

/// One of the shards, and its control record.
fn any(shared: &Shared, rng: &mut StdRng) -> (u16, String) {
    let shard = rng.random_range(0..shared.shards());
    (shard, format!("{}ctl", base(shard)))
}
