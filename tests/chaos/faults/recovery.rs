//! How long the instances take until all is well again.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::chaos::client::Client;
use crate::chaos::world::{Endpoint, World};

/// All must be well within this, once nothing is broken any more: more than the instances' own time-outs in a row.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// For one question of an instance.
const PATIENCE: Duration = Duration::from_secs(2);
/// A tag that no value has.
const NOBODY: &str = "faults/nobody";

/// How many faults are under way, and how many have begun.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    now: AtomicUsize,
    begun: AtomicU64,
    /// Held by whoever changes the weather at the origin.
    pub(super) origin: tokio::sync::Mutex<()>,
}

/// A fault under way.
pub(super) struct UnderWay<'a>(&'a Broken);

impl Broken {
    pub(super) fn begin(&self) -> UnderWay<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.now.fetch_add(1, Ordering::SeqCst);
        UnderWay(self)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How long it takes from now until an event has come in through every instance since, and every instance has applied
/// them all and trusts its copies. `None` if another fault is under way or begins meanwhile: whoever mends the last one
/// waits for it.
///
/// # Panics
///
/// If it takes longer than half a minute.
pub(crate) async fn recovered(world: &World) -> Option<Duration> {
    let (mended, begun) = (Instant::now(), world.broken.begun.load(Ordering::SeqCst));
    let client = Client::new(PATIENCE);
    let mut waiting: Vec<&Endpoint> = world.endpoints.iter().collect();
    let mut last = 0;
    loop {
        let disturbed = begun < world.broken.begun.load(Ordering::SeqCst);
        if disturbed || 0 < world.broken.now.load(Ordering::SeqCst) {
            return None;
        }
        if let Some(at) = waiting.last() {
            if let Some(seq) = publish(at, &client).await {
                last = last.max(seq);
                waiting.pop();
                continue;
            }
        } else if level(world, last).await {
            return Some(mended.elapsed());
        }
        let late = || waiting.last().map_or("is not level with the log", |_| "takes no event");
        assert!(
            mended.elapsed() < RECOVERY_MAX,
            "{RECOVERY_MAX:?} after all was mended, {} {}",
            waiting.last().map_or("an instance", |at| &at.id),
            late(),
        );
        sleep(LOOK).await;
    }
}

/// Publishes an event that concerns nobody: its number.
async fn publish(at: &Endpoint, client: &Client) -> Option<u64> {
    let event = json!({ "tags": [NOBODY], "source": "faults" }).to_string();
    let url = format!("{}/v1/invalidate", at.data);
    let answer = client.send("POST", &url, &[("content-type", "application/json")], event).await.ok()?;
    (answer.status == 202).then(|| answer.header("coherd-log-id").and_then(seq)).flatten()
}

/// Whether every instance is attached, and has applied that event and all that the log holds.
async fn level(world: &World, last: u64) -> bool {
    let client = Client::new(PATIENCE);
    for at in &world.endpoints {
        let Some(page) = client.text(&format!("{}/stats", at.admin)).await else { return false };
        let stats: serde_json::Value = serde_json::from_str(&page).unwrap_or_default();
        let reached = stats["log"]["cursor"].as_str().and_then(seq).is_some_and(|cursor| last <= cursor);
        let up =
            |tasks: &serde_json::Map<_, _>| tasks.values().all(|task: &serde_json::Value| task["up"] == true);
        let whole = stats["attached"] == true && stats["tasks"].as_object().is_some_and(up);
        if !reached || !whole || stats["log"]["lag_events"] != 0 {
            return false;
        }
    }
    true
}

/// The number in a log id.
fn seq(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}
