//! The inbox stream: events from systems that can only XADD, taken by a consumer group of the instances.

use std::time::Duration;

use fred::error::Error;
use fred::types::Value;

use super::connection::{Arg, Command, Connection};
use super::errors::{explain, is_no_group};
use super::log::stream_entry;
use super::reply::Parts;
use super::{Context, script};
use crate::backend::{BackendError, InboxEntry};
use crate::model::Shard;

/// The consumer group, the scripts' name for it too.
const GROUP: &str = "coherd";
/// Longest wait within the server: a connection that waits cannot be asked whether it still lives.
pub(super) const BLOCK_MAX: Duration = Duration::from_secs(1);

/// Entries that nobody has taken yet. With a wait the connection is blocked for so long and must be the caller's own.
pub(super) async fn read(
    context: &Context,
    connection: &Connection,
    consumer: &str,
    max: usize,
    wait: Duration,
) -> Result<Vec<InboxEntry>, BackendError> {
    let wait = wait.min(BLOCK_MAX);
    let command = || {
        let command = Command::new("XREADGROUP", slot(context))
            .args(["GROUP", GROUP, consumer, "COUNT"])
            .arg(max as u64);
        // BLOCK 0 would wait for ever
        let command = match wait.as_millis() {
            0 => command,
            _ => command.blocking().arg("BLOCK").arg(wait),
        };
        command.arg("STREAMS").arg(context.keys.inbox()).arg(">")
    };
    let limit = wait.saturating_add(context.command_timeout);
    let answer = match connection.call_within(command(), limit).await {
        Err(error) if is_no_group(&error) => {
            make_group(context, connection).await?;
            connection.call_within(command(), limit).await
        }
        answer => answer,
    };
    let mut streams = Parts::of("inbox", answer.map_err(|error| explain(&error))?)?;
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let _stream = streams.value()?;
    entries(streams.value()?)
}

/// See [`crate::backend::Backend::inbox_adopt`].
pub(super) async fn adopt(
    context: &Context,
    connection: &Connection,
    consumer: &str,
    max: usize,
    idle: Duration,
) -> Result<Vec<InboxEntry>, BackendError> {
    let args = vec![Arg::from(consumer), Arg::from(idle), Arg::from(max as u64)];
    match script::ADOPT.run(connection, context.keys.shard(Shard(0)), vec![context.keys.inbox()], args).await
    {
        Err(error) if is_no_group(&error) => Ok(Vec::new()),
        Err(error) => Err(explain(&error)),
        Ok(answer) => {
            let mut parts = Parts::of("inbox_adopt", answer)?;
            let _adopted = parts.text()?;
            entries(parts.value()?)
        }
    }
}

/// See [`crate::backend::Backend::inbox_done`].
pub(super) async fn done(
    context: &Context,
    connection: &Connection,
    ids: &[String],
) -> Result<(), BackendError> {
    if ids.is_empty() {
        return Ok(());
    }
    let args = ids.iter().map(|id| Arg::from(id.as_str())).collect();
    let answer =
        script::DONE.run(connection, context.keys.shard(Shard(0)), vec![context.keys.inbox()], args).await;
    answer.map_err(|error| explain(&error))?;
    Ok(())
}

/// From the stream's first entry: what came before the group did is to be done, too.
async fn make_group(context: &Context, connection: &Connection) -> Result<(), BackendError> {
    let command = Command::new("XGROUP", slot(context))
        .arg("CREATE")
        .arg(context.keys.inbox())
        .args([GROUP, "0", "MKSTREAM"]);
    match connection.call(command).await {
        Err(error) if !made_already(&error) => Err(explain(&error)),
        _ => Ok(()),
    }
}

fn made_already(error: &Error) -> bool {
    error.details().starts_with("BUSYGROUP")
}

fn slot(context: &Context) -> u16 {
    context.keys.shard(Shard(0)).slot
}

pub(super) fn entries(list: Value) -> Result<Vec<InboxEntry>, BackendError> {
    let mut list = Parts::of("inbox", list)?;
    let mut entries = Vec::new();
    while !list.is_empty() {
        let (id, fields) = stream_entry(list.value()?)?;
        let (pairs, _) = fields.as_chunks::<2>();
        let fields = pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect();
        entries.push(InboxEntry { id: String::from_utf8_lossy(&id).into_owned(), fields });
    }
    Ok(entries)
}
