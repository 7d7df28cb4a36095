//! An instance that is killed in the middle of a batch of writes.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};

use super::Struck;
use crate::chaos::world::World;
use crate::chaos::written::{BEHIND, KEYS, PARTITIONS};
use crate::harness::resp::Reply;

/// For a write to come by itself: writers go on all the time, and another fault may keep them from it.
const AIM: Duration = Duration::from_secs(2);
/// The consumer group of every queue.
const GROUP: &str = "coherd";

/// SIGKILL while writes have taken effect at the origin and their answers are held; the answers are released when the
/// instance is gone.
pub(super) async fn kill(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let gates = KEYS.map(|key| world.origin.hold_answers(&format!("{BEHIND}/{key}")));
    let aimed = timeout(AIM, async {
        while gates.iter().all(|gate| gate.count() == 0) {
            sleep(Duration::from_millis(2)).await;
        }
        worker(world).await
    })
    .await
    .ok()
    .flatten();
    let victim = aimed.unwrap_or_else(|| rng.random_range(0..world.nodes.len()));
    let mut node = world.nodes[victim].lock().await;
    node.kill().await;
    for gate in gates {
        gate.release();
    }
    sleep(hold).await;
    node.instance.restart().await;
    let id = node.instance.id();
    Struck { target: if aimed.is_some() { id.to_owned() } else { format!("{id}, not in a flush") } }
}

/// The number of an instance that has taken writes and not settled them.
async fn worker(world: &World) -> Option<usize> {
    let mut server = world.direct().await?;
    for partition in 0..PARTITIONS {
        let stream = format!("coherd:{{main}}:w:{partition}");
        let pending = server.command(&["XPENDING", &stream, GROUP]).await.ok()?;
        let Reply::Array(parts) = &pending else { continue };
        let Some(Reply::Array(consumers)) = parts.get(3) else { continue };
        for consumer in consumers {
            let name = consumer.items().first().map(Reply::text).unwrap_or_default();
            let found = world.endpoints.iter().position(|at| name.contains(&at.id));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}
