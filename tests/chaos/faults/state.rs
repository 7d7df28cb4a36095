//! What the server holds, spoilt by others.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::target::any;
use super::{CTL, LOG, Struck};
use crate::chaos::world::World;
use crate::harness::resp::Reply;
use crate::harness::server::Server;

/// As high as the number of an event may be: nothing fits behind it.
const LAST: u64 = i64::MAX as u64;

/// One command that takes something away.
pub(super) async fn spoil(world: &World, command: &[&str]) -> Struck {
    sent(&*world.server.lock().await, command).await;
    Struck::at("server")
}

/// FLUSHALL, of which one instance hears later.
pub(super) async fn forget(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let server = world.server.lock().await;
    let node = any(world, rng).await;
    node.wire.cut().await;
    sent(&server, &["FLUSHALL"]).await;
    sleep(hold).await;
    node.wire.restore().await;
    Struck { target: format!("server, without {}", node.instance.id()) }
}

/// The number of the last event.
pub(super) async fn last(server: &Server) -> u64 {
    match server.command(&["HGET", CTL, "seq"]).await {
        Reply::Text(seq) => String::from_utf8(seq).ok().and_then(|seq| seq.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}

/// An entry right behind the last one, or so far behind it that the events to come reach it.
pub(super) async fn foreign_entry(world: &World, rng: &mut StdRng) -> Struck {
    let server = world.server.lock().await;
    let seq = last(&server).await;
    let id = match rng.random_range(0..3) {
        0 => "*".to_owned(),
        1 => format!("{}-0", seq + 1),
        _ => format!("{}-{}", seq + rng.random_range(2..1_000), rng.random_range(0..2)),
    };
    // Refused only where others have been there before: behind the highest number, or in an event of this very moment.
    server.command(&["XADD", LOG, &id, "by", "somebody"]).await;
    Struck { target: format!("server, {id}") }
}

/// An entry behind which nothing fits.
pub(super) async fn poison(world: &World) -> Struck {
    let server = world.server.lock().await;
    let id = format!("{LAST}-1");
    server.command(&["XADD", LOG, &id, "by", "somebody"]).await;
    Struck { target: format!("server, {id}") }
}

async fn sent(server: &Server, command: &[&str]) {
    let reply = server.command(command).await;
    assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
}
