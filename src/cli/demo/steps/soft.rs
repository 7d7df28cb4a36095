//! An invalidation that may be answered late, so that nobody waits.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Shown, ensure};
use crate::cli::demo::database::{Database, value};
use crate::cli::demo::fleet::{Fleet, NAMESPACE, path};
use crate::cli::demo::seen::{Seen, line};
use crate::cli::exit::Fault;

const ID: u32 = 4;
const LOAD: Duration = Duration::from_millis(200);
/// Between two reads while the refresh runs.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the refresh may take on a machine that is busy.
const REFRESH_MAX: Duration = Duration::from_secs(20);

/// The stale value until the new one is there, and one load in between.
pub(in crate::cli::demo) async fn run(fleet: &Fleet, database: &mut Database) -> Result<Shown, Fault> {
    let node = fleet.first();
    let old = value(ID, &format!("User {ID}"));
    node.get(ID).await?.expect(&old, &["origin"])?;
    database.write(ID, "Edsger", LOAD).await?;
    let before = fleet.count("loads").await?;
    node.invalidate(&json!({ "namespace": NAMESPACE, "keys": [ID.to_string()], "soft": true })).await?;

    let began = Instant::now();
    let first = node.get(ID).await?;
    first.expect(&old, &["stale"])?;
    let (mut stale, mut slowest) = (1, first.took);
    let new = loop {
        let seen: Seen = node.get(ID).await?;
        if seen.via() != "stale" {
            break seen;
        }
        seen.expect(&old, &["stale"])?;
        (stale, slowest) = (stale + 1, slowest.max(seen.took));
        ensure(began.elapsed() < REFRESH_MAX, || "the refresh does not end".to_owned())?;
        sleep(PAUSE).await;
    };
    let refreshed = began.elapsed();
    new.expect(&value(ID, "Edsger"), &["l1"])?;
    let loads = fleet.count("loads").await? - before;
    ensure(loads == 1, || format!("{loads} SELECTs refreshed it, not one"))?;
    let slowest = slowest.as_secs_f64() * 1e3;
    let said =
        format!("until one SELECT had refreshed it; {stale} stale answers, none took over {slowest:.1} ms");
    let lines = vec![first.line(), line("refresh", refreshed, &said), new.line()];
    let curl = format!("curl -i -X PURGE '{}{}?soft=true'", node.data, path(ID));
    Ok(Shown { lines, curl })
}
