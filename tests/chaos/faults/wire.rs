//! Wires between instances and the server that are cut, held up or torn, and connections that the server ends.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::Struck;
use super::target::any;
use crate::chaos::world::{MAX_STALENESS, World};
use crate::harness::proxy::Direction;

/// The slowest wire: longer than a command may take.
const DELAY_MAX: Duration = Duration::from_secs(3);
/// A slow wire: a heartbeat still brings a lease.
const CHOKED: Duration = Duration::from_millis(700);
/// The pause between two blows of the same fault, in milliseconds.
const BLOWS: std::ops::Range<u64> = 20..300;

/// Connections are closed, new ones refused.
pub(super) async fn cut(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let node = any(world, rng).await;
    node.wire.cut().await;
    sleep(hold).await;
    node.wire.restore().await;
    Struck::at(node.instance.id())
}

/// What is sent arrives later, one way or both.
pub(super) async fn delay(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let node = any(world, rng).await;
    let (up, down) = (DELAY_MAX.mul_f64(rng.random()), DELAY_MAX.mul_f64(rng.random()));
    let ways = rng.random_range(0..3);
    if ways != 0 {
        node.wire.delay(Direction::Up, up);
    }
    if ways != 1 {
        node.wire.delay(Direction::Down, down);
    }
    sleep(hold).await;
    node.wire.restore().await;
    Struck::at(node.instance.id())
}

/// Nothing is carried that way; what was held back arrives in the end.
pub(super) async fn stall(world: &World, rng: &mut StdRng, hold: Duration, ways: &[Direction]) -> Struck {
    let node = any(world, rng).await;
    for way in ways {
        node.wire.stall_one_way(*way);
    }
    sleep(hold).await;
    node.wire.restore().await;
    Struck::at(node.instance.id())
}

/// What the server sends arrives later, but not too late for whoever waits; and when a heartbeat has come through, nothing
/// arrives any more. What the instance held before is what it goes on answering with.
pub(super) async fn choke(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let node = any(world, rng).await;
    let slow = CHOKED.mul_f64(rng.random_range(0.5..1.0));
    node.wire.delay(Direction::Down, slow);
    sleep(slow + MAX_STALENESS / 3).await;
    node.wire.stall();
    sleep(hold.max(MAX_STALENESS)).await;
    node.wire.restore().await;
    Struck::at(node.instance.id())
}

/// Again and again, the connection that carries a certain byte of what the server sends is reset behind it.
pub(super) async fn reset(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let node = any(world, rng).await;
    let ended = || node.wire.connections().iter().filter(|it| !it.is_open()).count();
    let (before, end) = (ended(), Instant::now() + hold);
    loop {
        node.wire.reset_after(Direction::Down, rng.random_range(1..2_000));
        sleep(Duration::from_millis(rng.random_range(BLOWS))).await;
        if end <= Instant::now() && before < ended() {
            break;
        }
    }
    node.wire.restore().await;
    Struck::at(node.instance.id())
}

/// Again and again, the server ends all connections of a type.
pub(super) async fn kill_clients(world: &World, rng: &mut StdRng, hold: Duration, kind: &str) -> Struck {
    let server = world.server.lock().await;
    let end = Instant::now() + hold;
    let mut ended = 0;
    while ended == 0 || Instant::now() < end {
        ended += server.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await.integer();
        sleep(Duration::from_millis(rng.random_range(BLOWS))).await;
    }
    Struck { target: format!("server, {ended} connections") }
}
