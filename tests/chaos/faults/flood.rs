//! Buffers that overflow and memory that runs out.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::target::any;
use super::{CTL, Struck};
use crate::chaos::spaces::PLAIN;
use crate::chaos::world::World;
use crate::harness::proxy::Direction;
use crate::harness::resp::Reply;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

/// What may wait for a subscriber, in bytes, and what the server may at the most have by default.
const BUFFER: &str = "pubsub 65536 0 0";
const BUFFER_DEFAULT: &str = "pubsub 33554432 8388608 60";
/// More than may wait: so many events at once, each with so many keys of so many bytes.
const EVENTS: usize = 20;
const KEYS: usize = 20;
const KEY: usize = 400;
/// What the server may still take before it refuses, in bytes.
const HEADROOM: std::ops::Range<u64> = 1..200_000;

/// One wire brings nothing more to its instance while so much is published at once that the server ends all
/// subscriptions; the instance hears of that end after `hold`.
pub(super) async fn overflow(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let server = world.server.lock().await;
    let node = any(world, rng).await;
    node.wire.stall_one_way(Direction::Down);
    set(&server, "client-output-buffer-limit", BUFFER).await;
    // The function may have been flushed a moment ago.
    eventually("a flood is published", SOON, async || publish(&server).await).await;
    set(&server, "client-output-buffer-limit", BUFFER_DEFAULT).await;
    sleep(hold).await;
    node.wire.restore().await;
    Struck::at(node.instance.id())
}

/// In one transaction: nothing is sent to a subscriber before all of it waits for it.
async fn publish(server: &Server) -> bool {
    let mut client = server.connect().await;
    let mut words = vec!["MULTI".to_owned()];
    for number in 0..=EVENTS {
        let answer = client.command(&words).await.expect("the server answers");
        assert!(matches!(answer, Reply::Text(_)), "{answer:?}");
        words = ["FCALL", "coherd_invalidate", "1", CTL, "ns", PLAIN].map(str::to_owned).into();
        for part in 0..KEYS {
            words.extend(["key".to_owned(), format!("faults/{number}-{part:0>KEY$}")]);
        }
    }
    let logged = client.command(&["EXEC"]).await.expect("the server answers");
    matches!(logged, Reply::Array(ids) if ids.iter().all(|id| matches!(id, Reply::Text(_))))
}

/// The server has as much as it may have, or nearly, and evicts nothing.
pub(super) async fn memory(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let server = world.server.lock().await;
    let used: u64 = server.info("used_memory").await.and_then(|used| used.parse().ok()).expect("a number");
    set(&server, "maxmemory", &(used + rng.random_range(HEADROOM)).to_string()).await;
    sleep(hold).await;
    set(&server, "maxmemory", "0").await;
    Struck::at("server")
}

async fn set(server: &Server, name: &str, value: &str) {
    let answer = server.command(&["CONFIG", "SET", name, value]).await;
    assert!(matches!(answer, Reply::Text(_)), "{name} = {value}: {answer:?}");
}
