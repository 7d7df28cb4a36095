//! A server that is killed and comes back with all it had, with less, or with nothing; or that stands still.

use std::time::Duration;

use tokio::time::sleep;

use super::Struck;
use crate::chaos::world::World;

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
