//! Reads the log past every instance and every wire, and says which events it holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::books::{Books, number_in};
use super::world::World;
use crate::harness::resp::{Connection, Reply};

const LOG: &str = "coherd:{main}:log";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// Events read at once.
const BATCH: &str = "500";
/// A server that is stopped answers nobody.
const PATIENCE: Duration = Duration::from_secs(1);

/// Follows the log until `stop`, whatever happens to its server.
pub(super) async fn follow(world: Arc<World>, books: Arc<Books>, stop: CancellationToken) {
    if 1 < world.shards {
        // An event is logged once every shard has it that it concerns, and one shard does not tell which those are.
        return stop.cancelled().await;
    }
    let mut connection = None;
    let mut last = String::from("0-0");
    let mut primary = world.primary.subscribe();
    while !stop.is_cancelled() {
        // The one before may go on without knowing: what it logs is no part of the log.
        if primary.has_changed().unwrap_or(false) {
            primary.mark_unchanged();
            connection = None;
        }
        let looked = timeout(PATIENCE, look(&world, &mut connection, &mut last, &books)).await;
        if !matches!(looked, Ok(Some(()))) {
            connection = None;
        }
        sleep(PAUSE).await;
    }
}

/// One look; `None` if the server does not answer as it should.
async fn look(
    world: &World,
    connection: &mut Option<Connection>,
    last: &mut String,
    books: &Books,
) -> Option<()> {
    if connection.is_none() {
        *connection = world.direct().await;
    }
    let connection = connection.as_mut()?;
    let newest = connection.command(&["XREVRANGE", LOG, "+", "-", "COUNT", "1"]).await.ok()?;
    let newest = entries(&newest).next().map(|(id, _)| id);
    // Another log under the same name: an older one that came back, or one that began anew.
    if newest.is_none_or(|newest| place(&newest) < place(last)) {
        "0-0".clone_into(last);
    }
    let from = format!("({last}");
    let new = connection.command(&["XRANGE", LOG, &from, "+", "COUNT", BATCH]).await.ok()?;
    for (id, reason) in entries(&new) {
        *last = id;
        if let Some(number) = reason.as_deref().and_then(number_in) {
            books.logged(number);
        }
    }
    Some(())
}

fn place(id: &str) -> (u64, u64) {
    let (seq, part) = id.split_once('-').unwrap_or((id, "0"));
    (seq.parse().unwrap_or(0), part.parse().unwrap_or(0))
}

/// The entries of a range, with what each gives as its reason.
fn entries(reply: &Reply) -> impl Iterator<Item = (String, Option<String>)> {
    let items = if let Reply::Array(items) = reply { &items[..] } else { &[] };
    items.iter().filter_map(|item| {
        let Reply::Array(parts) = item else { return None };
        let [Reply::Text(id), Reply::Array(fields)] = &parts[..] else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let reason = fields.chunks_exact(2).find_map(|pair| match pair {
            [Reply::Text(name), Reply::Text(value)] if name == b"why" => Some(text(value)),
            _ => None,
        });
        Some((text(id), reason))
    })
}
