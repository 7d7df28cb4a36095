//! A load that an invalidation overtakes.

use std::time::Duration;

use futures_util::future::join;
use serde_json::json;
use tokio::time::sleep;

use super::{Shown, ensure};
use crate::cli::demo::database::{Database, USUAL, value};
use crate::cli::demo::fleet::{Fleet, NAMESPACE};
use crate::cli::demo::seen::line;
use crate::cli::exit::Fault;

const ID: u32 = 5;
/// How slow the load is, and when the change overtakes it. A machine that is busy may miss the moment: then once more,
/// with a slower load if it was over too soon, and with a later change if it had not begun.
const LOAD: Duration = Duration::from_millis(300);
const OVERTAKEN: Duration = Duration::from_millis(100);
const TRIES: u32 = 5;

/// The slow reader gets the old value, for it asked before the change; nobody gets it after.
pub(in crate::cli::demo) async fn run(fleet: &Fleet, database: &mut Database) -> Result<Shown, Fault> {
    let (reader, publisher) = (fleet.second(), fleet.first());
    let event = json!({ "namespace": NAMESPACE, "keys": [ID.to_string()] });
    let (mut tries, mut load, mut overtaken) = (0, LOAD, OVERTAKEN);
    let (slow, invalidated, rejected) = loop {
        tries += 1;
        database.write(ID, "old", load).await?;
        publisher.invalidate(&event).await?;
        let before = fleet.count("fills_rejected").await?;
        let overtake = async {
            sleep(overtaken).await;
            database.write(ID, "new", USUAL).await?;
            publisher.invalidate(&event).await
        };
        let (slow, published) = join(reader.get(ID), overtake).await;
        let (slow, (_, took)) = (slow?, published?);
        let rejected = fleet.count("fills_rejected").await? - before;
        if tries == TRIES || (slow.body == value(ID, "old") && rejected != 0) {
            break (slow, took, rejected);
        }
        load *= 2;
        if slow.body != value(ID, "old") {
            overtaken *= 2;
        }
    };
    slow.expect(&value(ID, "old"), &["origin"])?;
    ensure(!slow.cache.contains("stored") && rejected == 1, || {
        format!("the late fill was not refused: `{}`, {rejected} refused", slow.cache)
    })?;
    let next = reader.get(ID).await?;
    next.expect(&value(ID, "new"), &["origin"])?;
    for node in &fleet.nodes {
        node.get(ID).await?.expect(&value(ID, "new"), &["l1", "l2"])?;
    }
    let lines = vec![
        line(
            "wait=all",
            invalidated,
            &format!("changed and invalidated while {} waits for its SELECT", slow.node),
        ),
        slow.line(),
        format!("{:<10} {:>7}     refused: it began before the invalidation", "its fill", ""),
        next.line(),
    ];
    let curl = format!("curl -s {}/metrics | grep fills_rejected_total", reader.admin);
    Ok(Shown { lines, curl })
}
