//! A server that is killed and comes back with all it had, with less, or with nothing; or that stands still.

use std::time::Duration;

use tokio::time::sleep;

use super::state::last;
use super::target::all;
use super::{CTL, NOBODY, Struck};
use crate::chaos::world::World;
use crate::harness::resp::Reply;

/// Events that make up for those that were lost; where numbers had leapt ahead meanwhile, they do not.
const PUBLISHED_MAX: usize = 5_000;

/// SIGKILL, and a start after `hold` with what the append-only file holds.
pub(super) async fn kill(world: &World, hold: Duration) -> Struck {
    let mut server = world.server.lock().await;
    server.kill().await;
    sleep(hold).await;
    server.restart().await;
    Struck::at("server")
}

/// SIGKILL, and a start with what it held `hold` before.
pub(super) async fn old_dump(world: &World, hold: Duration) -> Struck {
    let mut server = world.server.lock().await;
    let dump = server.dump().await;
    sleep(hold).await;
    server.restart_with(&dump).await;
    Struck::at("server")
}

/// SIGKILL, and a start with what it held `hold` before. Before the instances are back, so much has been published to it
/// that its last number is above all that anybody knew.
pub(super) async fn rewound(world: &World, hold: Duration) -> Struck {
    let mut server = world.server.lock().await;
    let nodes = all(world).await;
    let dump = server.dump().await;
    sleep(hold).await;
    for node in &nodes {
        node.wire.cut().await;
    }
    let lost = last(&server).await;
    server.restart_with(&dump).await;
    for _ in 0..PUBLISHED_MAX {
        if lost < last(&server).await {
            break;
        }
        let said = server.command(&["FCALL", "coherd_invalidate", "1", CTL, "tag", NOBODY]).await;
        assert!(matches!(said, Reply::Text(_)), "{said:?}");
    }
    for node in &nodes {
        node.wire.restore().await;
    }
    Struck { target: format!("server, at {lost}") }
}

/// SIGKILL, and a start after `hold` with nothing.
pub(super) async fn empty(world: &World, hold: Duration) -> Struck {
    let mut server = world.server.lock().await;
    server.kill().await;
    sleep(hold).await;
    server.restart_empty().await;
    Struck::at("server")
}

/// SIGSTOP, and SIGCONT after `hold`.
pub(super) async fn pause(world: &World, hold: Duration) -> Struck {
    let server = world.server.lock().await;
    server.pause();
    sleep(hold).await;
    server.resume();
    Struck::at("server")
}
