//! The log: reading it, and where it stands.

use bytes::Bytes;
use fred::types::Value;
use tracing::warn;

use super::Context;
use super::codec::{entry_seq, logged};
use super::connection::{Command, Connection};
use super::errors::{explain, is_wrong_type};
use super::link::Generation;
use super::pages;
use super::reply::Parts;
use crate::backend::{BackendError, Logged, Token};
use crate::model::{Seq, Shard};
use crate::telemetry::Throttle;

/// See [`crate::backend::Backend::head`]; `None` where the shard has no lineage.
pub(super) async fn head(
    context: &Context,
    connection: &Connection,
    shard: Shard,
) -> Result<Option<Token>, BackendError> {
    let keys = context.keys.shard(shard);
    // A write before it, of what is never there: a primary that lost its replicas may have been replaced, and answers
    // whoever only reads with a head that is not the log's any more.
    let commands = vec![
        Command::new("DEL", keys.slot).arg(keys.nothing()),
        Command::new("HMGET", keys.slot).arg(keys.ctl()).args(["lin", "seq"]),
    ];
    let mut answers = connection.call_all(commands).await.map_err(|error| explain(&error))?.into_iter();
    let mut answer = || answers.next().unwrap_or(Ok(Value::Null));
    answer().map_err(|error| explain(&error))?;
    let answer = match answer() {
        // as the scripts see it: no control record that can be used
        Err(error) if is_wrong_type(&error) => return Ok(None),
        answer => answer.map_err(|error| explain(&error))?,
    };
    let mut parts = Parts::of("head", answer)?;
    let (lineage, seq) = (parts.value()?, parts.value()?);
    if lineage.is_null() || seq.is_null() {
        return Ok(None);
    }
    let token = Parts::of("head", Value::Array(vec![lineage, seq]))?.token()?;
    context.seen(shard, token.seq);
    Ok(Some(token))
}

/// More events than this are read over a connection of their own.
const FEW_MAX: usize = 100;

/// See [`crate::backend::Backend::read_log`].
pub(super) async fn read_log(
    context: &Context,
    generation: &Generation,
    shard: Shard,
    after: Seq,
    max: usize,
) -> Result<Vec<Logged>, BackendError> {
    if max <= FEW_MAX {
        return read_few(context, generation.data(), shard, after, max).await;
    }
    match pages::read_log(context, generation, shard, after, max).await {
        Ok(Some(events)) => Ok(events),
        Err(BackendError::TimedOut) => Err(BackendError::TimedOut),
        // such as a page that is larger than a frame may be
        Ok(None) | Err(_) => read_few(context, generation.data(), shard, after, max).await,
    }
}

async fn read_few(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    after: Seq,
    max: usize,
) -> Result<Vec<Logged>, BackendError> {
    let keys = context.keys.shard(shard);
    let mut from = format!("({after}-0");
    let mut events = Vec::new();
    while events.len() < max {
        let wanted = max - events.len();
        let command = Command::new("XRANGE", keys.slot)
            .arg(keys.log())
            .arg(from.as_str())
            .args(["+", "COUNT"])
            .arg(wanted as u64);
        let answer = connection.call(command).await.map_err(|error| explain(&error))?;
        let mut entries = Parts::of("read_log", answer)?;
        let mut count = 0;
        while !entries.is_empty() {
            count += 1;
            let (id, fields) = stream_entry(entries.value()?)?;
            match logged(&id, &fields) {
                Some((_, event)) => events.push(event),
                None => foreign(&id),
            }
            from = format!("({}", String::from_utf8_lossy(&id));
        }
        // a page of nothing but foreign entries must not look like the log's end
        if count < wanted {
            break;
        }
    }
    ends_at(context, shard, &events);
    Ok(events)
}

/// These were read: the log has come so far.
pub(super) fn ends_at(context: &Context, shard: Shard, events: &[Logged]) {
    if let Some(last) = events.last() {
        context.seen(shard, last.seq);
    }
}

/// An entry's id and its fields, flat.
pub(super) fn stream_entry(entry: Value) -> Result<(Bytes, Vec<Bytes>), BackendError> {
    let mut entry = Parts::of("a stream's entry", entry)?;
    let id = entry.bytes()?;
    let mut parts = Parts::of("a stream's fields", entry.value()?)?;
    let mut fields = Vec::new();
    while !parts.is_empty() {
        fields.push(parts.bytes()?);
    }
    Ok((id, fields))
}

/// Somebody else wrote to the log.
pub(super) fn foreign(id: &[u8]) {
    static SAID: Throttle = Throttle::new();
    if let Some(log_suppressed) = SAID.pass() {
        let ours = if entry_seq(id).is_some() { "does not read as an event" } else { "is not ours" };
        let id = String::from_utf8_lossy(id);
        warn!(log.id = %id, log.suppressed = log_suppressed, "an entry of the log {ours}, skipped");
    }
}
