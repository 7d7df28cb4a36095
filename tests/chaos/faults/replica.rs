//! Replicas that take the server's place before they have all it had.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::MutexGuard;
use tokio::time::sleep;

use super::Struck;
use super::target::all;
use crate::chaos::world::{Node, World};
use crate::harness::proxy::Proxy;
use crate::harness::server::Server;

/// What the primary acknowledges for as long as `hold` does not reach the replica; then the primary dies and the
/// replica takes its place.
pub(super) async fn promote(world: &World, hold: Duration) -> Struck {
    let mut server = world.server.lock().await;
    let nodes = all(world).await;
    let (mut replica, link) = follower(&server).await;
    link.stall();
    sleep(hold).await;
    // Before the promotion: nobody is left who believes in the old one.
    server.kill().await;
    replica.promote().await;
    redirect(world, &nodes, &replica);
    **server = replica;
    Struck::at("server")
}

/// The replica is held back until the primary refuses writes for want of it, takes its place for all instances but one,
/// and for that one too after `hold`.
pub(super) async fn isolate(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let mut server = world.server.lock().await;
    let mut nodes = all(world).await;
    let (mut replica, link) = follower(&server).await;
    // Promoted any earlier, both would take writes: how long, is for those to bound who decide on promotions.
    server.forsaken(&link).await;
    replica.promote().await;
    let isolated = nodes.swap_remove(rng.random_range(0..nodes.len()));
    redirect(world, &nodes, &replica);
    sleep(hold).await;
    server.kill().await;
    redirect(world, &[isolated], &replica);
    **server = replica;
    Struck::at("server")
}

/// A replica that has everything, and its link.
async fn follower(primary: &Server) -> (Server, Proxy) {
    let link = Proxy::start(primary.addr()).await;
    let replica = primary.replica(link.addr()).await;
    replica.follows().await;
    (replica, link)
}

/// From now on these instances, and all clients, find that server.
fn redirect(world: &World, nodes: &[MutexGuard<'_, Node>], to: &Server) {
    world.primary.send_replace(to.addr());
    for node in nodes {
        node.wire.point_at(to.addr());
        node.wire.close_all();
    }
}
