//! Instances that are killed, stand still, or are replaced.

use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};

use super::target::{Own, any, others};
use super::{LOG, Struck};
use crate::chaos::client::{Answer, Client, Failed};
use crate::chaos::world::World;
use crate::harness::proxy::Direction;
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};

/// For an aim that another fault may make impossible.
const AIM: Duration = Duration::from_secs(2);

/// SIGKILL, and a start after `hold`.
pub(super) async fn kill(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let mut node = any(world, rng).await;
    node.kill().await;
    sleep(hold).await;
    node.instance.restart().await;
    Struck::at(node.instance.id())
}

/// SIGKILL while a load of the instance, which others wait for, has read its version at the origin. What became of
/// those who waited: others may be hit by other faults.
pub(super) async fn kill_in_load(
    world: &World,
    rng: &mut StdRng,
    hold: Duration,
) -> (Struck, Vec<Result<Answer, Failed>>) {
    let own = Own::begin(world, rng);
    let mut node = any(world, rng).await;
    let id = node.instance.id().to_owned();
    let gate = world.origin.hold(&own.object());
    let client = Client::new(SOON);
    let victim = world.endpoints.iter().find(|endpoint| endpoint.id == id).expect("it has an endpoint");
    // Where another fault keeps the load from the origin, it is a kill like any other.
    let aimed = async || timeout(AIM, gate.arrived(1)).await.is_ok();
    let strike = async {
        let aimed = aimed().await;
        node.kill().await;
        gate.release();
        sleep(hold).await;
        node.instance.restart().await;
        aimed
    };
    let waiting = async {
        aimed().await;
        // They wait for the load, or load for themselves once its lease is over.
        join_all(others(world, &id).into_iter().map(|at| own.read(at, &client))).await
    };
    let (died, aimed, waited) = tokio::join!(own.read(victim, &client), strike, waiting);
    // On a machine that is busy the load may have had all its time before the signal came.
    let target = if aimed && died.is_err() { id } else { format!("{id}, not in a load") };
    (Struck { target }, waited)
}

/// SIGKILL while a publisher at another instance waits until this one has confirmed an event that it does not hear of.
pub(super) async fn kill_in_wait(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let own = Own::begin(world, rng);
    let mut node = any(world, rng).await;
    let id = node.instance.id().to_owned();
    let at = {
        let others = others(world, &id);
        others[rng.random_range(0..others.len())]
    };
    let client = Client::new(SOON);
    node.wire.stall_one_way(Direction::Down);
    let publish = own.invalidate(at, &client, "?wait=all");
    let strike = async {
        // Where another fault keeps the event from being logged, it is a kill like any other.
        let aimed = timeout(AIM, logged(world, &own.key)).await.is_ok();
        node.kill().await;
        node.wire.restore().await;
        sleep(hold).await;
        node.instance.restart().await;
        aimed
    };
    let (waited, aimed) = tokio::join!(publish, strike);
    let mode = waited.ok().filter(|answer| answer.status == 200).map(|answer| answer.json()["mode"].clone());
    let told = mode.map_or_else(String::new, |mode| format!(", {}", mode.as_str().unwrap_or("?")));
    Struck { target: if aimed { format!("{id}{told}") } else { format!("{id}, not in a wait") } }
}

/// SIGSTOP, and SIGCONT after `hold`.
pub(super) async fn pause(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let node = any(world, rng).await;
    node.instance.pause();
    sleep(hold).await;
    node.instance.resume();
    Struck::at(node.instance.id())
}

/// SIGTERM and a start, one instance after the other.
pub(super) async fn rolling_restart(world: &World) -> Struck {
    for node in &world.nodes {
        let mut node = node.lock().await;
        let status = node.end(SOON).await;
        assert!(status.success(), "{} did not end in order: {status}", node.instance.id());
        node.instance.restart().await;
    }
    Struck::at("all")
}

/// Waits until the log holds an event that names the key.
async fn logged(world: &World, key: &str) {
    eventually("the event is logged", SOON, async || {
        let mut server = world.direct().await?;
        let last = server.command(&["XREVRANGE", LOG, "+", "-", "COUNT", "100"]).await.ok()?;
        let named = |entry: &Reply| match entry.items() {
            [_, fields] => fields.items().iter().any(|field| field == &Reply::Text(key.as_bytes().to_vec())),
            _ => false,
        };
        matches!(&last, Reply::Array(entries) if entries.iter().any(named)).then_some(())
    })
    .await;
}
