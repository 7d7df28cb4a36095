//! The log: publishing, reading, and where it stands.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tracing::warn;

use super::codec::{entry_seq, logged, pack_names, provenance_args, target_args};
use super::connection::{Arg, Command, Connection};
use super::errors::{explain, is_wrong_type};
use super::members::read_members;
use super::reply::Parts;
use super::rounds::Rounds;
use super::{Context, durable, script};
use crate::backend::{Along, BackendError, Durability, HOLD_MAX, Logged, Publication, Published, Put, Token};
use crate::model::{Event, Hardness, Seq, Shard};
use crate::telemetry::Throttle;

/// See [`crate::backend::Backend::publish`].
pub(super) async fn publish(
    context: &Context,
    (connection, rounds): (&Connection, &Rounds),
    shard: Shard,
    publication: &Publication,
) -> Result<Published, BackendError> {
    let Publication { event, entries, confirm, along, known, repeat_after } = publication;
    if event.targets.is_empty() || Event::TARGETS_MAX < event.targets.len() {
        return Err(BackendError::Refused(format!(
            "an event has 1 to {} targets, this one has {}",
            Event::TARGETS_MAX,
            event.targets.len()
        )));
    }
    let request_id = event.request_id.as_deref().unwrap_or_default();
    if Event::TEXT_BYTES_MAX < request_id.len() {
        return Err(BackendError::Refused(format!(
            "a request id has at most {} bytes",
            Event::TEXT_BYTES_MAX
        )));
    }

    context.seen(shard, *known);
    let keys = context.keys.shard(shard);
    let mut own: Vec<String> = along.iter().map(|along| keys.entry(along.entry())).collect();
    own.extend(entries.iter().map(|entry| keys.entry(entry)));
    let mut args = vec![Arg::from(context.known(shard))];
    args.extend(context.settings_args());
    args.extend([Arg::from(event.hardness == Hardness::Soft), Arg::from(*confirm)]);
    args.extend(provenance_args(&event.provenance));
    args.extend([Arg::from(request_id), Arg::from(*repeat_after)]);
    args.extend(along_args(along.as_ref()));
    args.push(event.provenance.trace.map_or_else(|| Arg::from(""), |trace| Arg::from(trace.to_string())));
    args.extend(target_args(&event.targets));

    let answer = script::PUBLISH.run(connection, keys, own, args).await.map_err(|error| explain(&error))?;
    let mut published = published(answer)?;
    context.seen(shard, published.token.seq);
    let wanted = durable::wanted(along.as_ref());
    published.durability = durable::harden(context, rounds, shard, wanted).await?;
    Ok(published)
}

/// What goes along as `publish.lua` takes it: what, load, names, envelope, fresh, kept, and three more.
fn along_args(along: Option<&Along>) -> [Arg; 9] {
    let nothing = || Arg::from("");
    let value = |put: &Put| {
        let Put { names, envelope, fresh, kept } = put;
        [Arg::from(pack_names(names)), Arg::from(envelope.clone()), Arg::from(*fresh), Arg::from(*kept)]
    };
    let no_value = || [""; 4].map(Arg::from);
    let (what, load, [names, envelope, fresh, kept], more) = match along {
        None => ("", "", no_value(), [nothing(), nothing(), nothing()]),
        Some(Along::Value { load, put, .. }) => {
            ("value", &*load.0, value(put), [nothing(), nothing(), nothing()])
        }
        Some(Along::Quarantine { load, hold, .. }) => {
            // one of no length could not be set
            let hold = (*hold).clamp(Duration::from_millis(1), HOLD_MAX);
            ("hold", &*load.0, no_value(), [Arg::from(hold), nothing(), nothing()])
        }
        Some(Along::Ended { load, put, written, .. }) => {
            let written = written.map_or_else(nothing, Arg::from);
            let more = [written, Arg::from(put.is_some()), nothing()];
            ("end", &*load.0, put.as_ref().map_or_else(no_value, value), more)
        }
        Some(Along::Pending { entry, load, put, partition, backlog_max, .. }) => {
            let more = [
                Arg::from(u64::from(*partition)),
                Arg::from(*backlog_max),
                Arg::from(u64::from(entry.version)),
            ];
            ("pending", &*load.0, value(put), more)
        }
    };
    let [first, second, third] = more;
    [Arg::from(what), Arg::from(load), names, envelope, fresh, kept, first, second, third]
}

/// What `publish.lua` answered.
pub(super) fn published(answer: Value) -> Result<Published, BackendError> {
    let mut parts = Parts::of("publish", answer)?;
    let status = parts.text()?;
    if status == "full" {
        return Err(BackendError::Full(parts.number()?));
    }
    let token = parts.token()?;
    let members = read_members(Parts::of("members", parts.value()?)?)?;
    let (deferred, stored) = (parts.text()? == "1", parts.text()? == "1");
    Ok(Published {
        token,
        repeated: status == "repeated",
        members,
        deferred,
        stored,
        durability: Durability::default(),
    })
}

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

/// See [`crate::backend::Backend::read_log`].
pub(super) async fn read_log(
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
    if let Some(last) = events.last() {
        context.seen(shard, last.seq);
    }
    Ok(events)
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
fn foreign(id: &[u8]) {
    static SAID: Throttle = Throttle::new();
    if let Some(log_suppressed) = SAID.pass() {
        let ours = if entry_seq(id).is_some() { "does not read as an event" } else { "is not ours" };
        let id = String::from_utf8_lossy(id);
        warn!(log.id = %id, log.suppressed = log_suppressed, "an entry of the log {ours}, skipped");
    }
}
