//! The end of what was written: all that is pending reaches the origin or is given up, and the dead letters are read.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::shared::base;
use super::world::{Endpoint, World};
use super::written::PARTITIONS;
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};
use crate::history::Happened;

/// For all that is pending, once nothing is broken any more.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// For one question of an instance.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until nothing is pending and the origin has nothing in its hands; whether that came to be in time. Writes down
/// that it is over in any case, and what dead letters there are.
pub(crate) async fn drain(world: &World) -> bool {
    let client = Client::new(PATIENCE);
    let (began, started) = (Instant::now(), world.history().now());
    let drained = loop {
        if world.origin.writing() == 0 && pending(world).await == Some(0) {
            break true;
        }
        if DRAIN < began.elapsed() {
            break false;
        }
        sleep(LOOK).await;
    };
    world.history().record(started, Happened::Drained);
    let dead =
        eventually("the dead letters are read", SOON, async || dead(&world.endpoints[0], &client).await);
    for letter in dead.await {
        let text = |name: &str| letter[name].as_str().map(str::to_owned);
        let (namespace, key) = (text("namespace").expect("a namespace"), text("key").expect("a key"));
        let id = text("id").expect("an id");
        let seq = id.split('-').next().and_then(|seq| seq.parse().ok());
        let dead = Happened::Dead { object: format!("{namespace}/{key}"), id, seq };
        world.history().record(world.history().now(), dead);
    }
    drained
}

/// How many writes are pending, as the server has them: what instances say of it is of a moment ago.
async fn pending(world: &World) -> Option<i64> {
    let server = world.server.lock().await;
    let mut sum = 0;
    for (shard, partition) in (0..world.shards).flat_map(|shard| (0..PARTITIONS).map(move |at| (shard, at))) {
        let queue = format!("{}w:{partition}", base(shard));
        match server.about(&queue, &["XLEN", &queue]).await {
            Reply::Integer(lines) => sum += lines,
            _ => return None,
        }
    }
    Some(sum)
}

/// All dead letters.
async fn dead(at: &Endpoint, client: &Client) -> Option<Vec<Value>> {
    let page = client.text(&format!("{}/v1/writes/dead?limit=1000", at.admin)).await?;
    let page: Value = serde_json::from_str(&page).ok()?;
    page["dead"].as_array().cloned()
}
