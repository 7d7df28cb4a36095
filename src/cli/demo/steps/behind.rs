//! A write that is answered before the database has it, and read by all meanwhile.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Shown, ensure};
use crate::cli::demo::database::{Database, value};
use crate::cli::demo::fleet::{Fleet, path};
use crate::cli::demo::seen::line;
use crate::cli::exit::Fault;

const ID: u32 = 6;
/// Between two looks at the database.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the drain may take on a machine that is busy.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Behind a database that takes no change for a while; then the change is there, under the number it was given.
pub(in crate::cli::demo) async fn run(fleet: &Fleet, database: &mut Database) -> Result<Shown, Fault> {
    let (first, second) = (fleet.first(), fleet.second());
    let new = value(ID, "Barbara");
    database.lock().await?;
    let put = first.put(ID, &new).await;
    let seen = second.get(ID).await;
    let before = database.name(ID).await;
    database.unlock().await?;
    let (put, seen, before) = (put?, seen?, before?);
    let began = Instant::now();
    ensure(put.cache == "202", || format!("the write was answered with {}", put.cache))?;
    seen.expect(&new, &["pending-write"])?;
    ensure(before != "Barbara", || "the database had it already".to_owned())?;
    while database.name(ID).await? != "Barbara" {
        ensure(began.elapsed() < DRAIN_MAX, || "the write does not reach the database".to_owned())?;
        sleep(PAUSE).await;
    }
    let drained = line("drained", began.elapsed(), "after the lock was gone, one UPDATE brought it there");
    let accepted = line(&put.node, put.took, &format!("PUT {new}: 202, while the database is locked"));
    let curl = format!("curl -i -X PUT -d '{}' {}{}", value(ID, "Somebody"), first.data, path(ID));
    Ok(Shown { lines: vec![accepted, seen.line(), drained], curl })
}
