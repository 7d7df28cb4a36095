//! How long the instances take until all is well again.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::NOBODY;
use crate::chaos::client::Client;
use crate::chaos::world::{Endpoint, World};

/// All must be well within this, once nothing is broken any more: more than the instances' own time-outs in a row.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// Longer than anything in the product waits: worth a word.
const STRANGE: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// For one question of an instance.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many faults are under way, and how many have begun.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    now: AtomicUsize,
    begun: AtomicU64,
    /// Held by whoever changes the weather at the origin.
    pub(super) origin: tokio::sync::Mutex<()>,
}

/// A fault under way.
pub(crate) struct UnderWay<'a>(&'a Broken);

impl Broken {
    pub(crate) fn begin(&self) -> UnderWay<'_> {
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
    let mut heard = 0;
    let mut said = String::new();
    let (mut silent, mut behind) = (endpoints(world), endpoints(world));
    loop {
        let disturbed = begun < world.broken.begun.load(Ordering::SeqCst);
        if disturbed || 0 < world.broken.now.load(Ordering::SeqCst) {
            return None;
        }
        let missing = if let Some(at) = silent.last() {
            match publish(at, &client).await {
                Ok(seq) => {
                    heard = heard.max(seq);
                    silent.pop();
                    continue;
                }
                Err(why) => format!("{} takes no event: {why}", at.id),
            }
        } else if let Some(at) = behind.last() {
            match level(at, &client, heard).await {
                Ok(()) => {
                    behind.pop();
                    continue;
                }
                Err(why) => why,
            }
        } else {
            return Some(mended.elapsed());
        };
        tell(mended.elapsed(), &missing, &mut said);
        let late = RECOVERY_MAX <= mended.elapsed();
        let more = if late { told(world, &client).await } else { String::new() };
        assert!(!late, "{RECOVERY_MAX:?} after all was mended, {missing}; {more}");
        sleep(LOOK).await;
    }
}

/// What the server and every instance say of themselves.
async fn told(world: &World, client: &Client) -> String {
    let asked = Instant::now();
    let server = async { Some(world.direct().await?.command(&["PING"]).await) };
    let server = timeout(PATIENCE, server).await;
    let mut told = format!("the server: {server:?} within {:.1?}", asked.elapsed());
    for at in &world.endpoints {
        let page = client.text(&format!("{}/readyz", at.admin)).await;
        let said = publish(at, client).await;
        write!(told, "; {}: {page:?}, {said:?}", at.id).expect("a string takes all");
    }
    told
}

/// Says what a recovery waits for, if it takes strangely long.
#[expect(clippy::print_stderr, reason = "whoever wonders at the report finds the reason above it")]
fn tell(waited: Duration, missing: &str, said: &mut String) {
    if STRANGE < waited && missing != said {
        eprintln!("chaos: {waited:.1?} after all was mended, {missing}");
        missing.clone_into(said);
    }
}

/// Publishes an event that concerns nobody: its number.
async fn publish(at: &Endpoint, client: &Client) -> Result<u64, String> {
    let event = json!({ "tags": [NOBODY], "source": "faults" }).to_string();
    let url = format!("{}/v1/invalidate", at.data);
    let answer = client.send("POST", &url, &[("content-type", "application/json")], event).await;
    let answer = answer.map_err(|failed| format!("{failed:?}"))?;
    let id = if answer.status == 202 { answer.header("coherd-log-id").and_then(seq) } else { None };
    id.ok_or_else(|| answer.json().to_string())
}

fn endpoints(world: &World) -> Vec<&Endpoint> {
    world.endpoints.iter().collect()
}

/// Whether the instance is attached, and has applied that event; else what is wrong. Under load there is always a newer
/// one on its way.
async fn level(at: &Endpoint, client: &Client, heard: u64) -> Result<(), String> {
    let page = client.text(&format!("{}/stats", at.admin)).await;
    let stats: Value = page.and_then(|page| serde_json::from_str(&page).ok()).unwrap_or_default();
    let (attached, log, tasks) = (&stats["attached"], &stats["log"], &stats["tasks"]);
    let up = |tasks: &Map<_, Value>| tasks.values().all(|task| task["up"] == true);
    let whole = *attached == true && tasks.as_object().is_some_and(up);
    let reached = log["cursor"].as_str().and_then(seq).is_some_and(|cursor| heard <= cursor);
    if whole && reached {
        return Ok(());
    }
    Err(format!("{}: attached {attached}, log {log}, event {heard}, tasks {tasks}", at.id))
}

/// The number in a log id.
fn seq(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}
