//! The queues of writes behind: taking, settling, looking.

use std::time::Duration;

use bytes::Bytes;

use super::arguments::Arguments;
use super::connection::{Arg, Command, Connection};
use super::errors::{explain, is_wrong_type};
use super::log::stream_entry;
use super::reply::{Parts, bytes, number};
use super::{Context, keys, script};
use crate::backend::{
    BackendError, Backlog, Dead, EntryId, Leave, Line, Look, PARTITIONS_MAX, Partition, Pending, Settled,
    Settlement, Survey, Take, Taken, WORKERS_MAX, Waiting,
};
use crate::model::{Key, LineageId, Namespace, Shard};

/// Lines that are looked at for one that is not superseded.
const LOOKED_AT_FACTOR: usize = 4;

/// See [`crate::backend::Backend::take_writes`].
pub(super) async fn take(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    take: &Take,
) -> Result<Taken, BackendError> {
    let Take { partition, worker, consumer, lease, pause_max, idle, adopt, max } = take;
    let keys = context.keys.shard(shard);
    let args = vec![
        Arg::from(u64::from(*partition)),
        Arg::from(worker.as_str()),
        Arg::from(consumer.as_str()),
        Arg::from(*lease),
        Arg::from(*idle),
        Arg::from(*max as u64),
        Arg::from(*pause_max),
        Arg::from(*adopt),
    ];
    let answer = script::TAKE.run(connection, keys, vec![keys.queue(*partition)], args).await;
    let mut parts = Parts::of("take", answer.map_err(|error| explain(&error))?)?;
    if parts.text()? == "other" {
        return Ok(Taken::Other { left: Duration::from_millis(parts.number()?) });
    }
    let superseded = parts.number()?;
    let more = parts.text()? == "1";
    let due = parts.text()?.parse().ok().map(Duration::from_millis);
    let mut lines = Parts::of("take", parts.value()?)?;
    let mut writes = Vec::new();
    while !lines.is_empty() {
        writes.push(pending(&mut lines)?);
    }
    Ok(Taken::Own { writes, superseded, more, due })
}

/// Four texts of a taken line.
fn pending(parts: &mut Parts) -> Result<Pending, BackendError> {
    let (line, lineage) = line(parts)?;
    Ok(Pending { line, lineage, attempts: attempts(parts)?, since_ms: parts.number()? })
}

/// Id; number, lineage and entry as one text.
fn line(parts: &mut Parts) -> Result<(Line, LineageId), BackendError> {
    let (id, text) = (parts.text()?, parts.text()?);
    let said = |text: &str| {
        let (seq, rest) = text.split_once('|')?;
        let (lineage, name) = rest.split_once('|')?;
        Some((Line { id, entry: keys::named(name)?, seq: seq.parse().ok()? }, LineageId::new(lineage)))
    };
    said(&text).ok_or_else(|| parts.wrong("not a line of ours"))
}

fn attempts(parts: &mut Parts) -> Result<u32, BackendError> {
    Ok(u32::try_from(parts.number()?).unwrap_or(u32::MAX))
}

/// See [`crate::backend::Backend::value_of_write`].
pub(super) async fn value(
    context: &Context,
    connection: &Connection,
    line: &Line,
) -> Result<Option<Bytes>, BackendError> {
    let keys = context.keys.of(&line.entry).1;
    let command = Command::new("HMGET", keys.slot).arg(keys.entry(&line.entry)).fixed(&["d", "v"]);
    let answer = match connection.call(command).await {
        Err(error) if is_wrong_type(&error) => return Ok(None),
        answer => answer.map_err(|error| explain(&error))?,
    };
    let mut parts = Parts::of("value", answer)?;
    if number(parts.value()?) != Some(line.seq) {
        return Ok(None);
    }
    // one that somebody has taken away is as unreadable as one that is nonsense
    Ok(Some(bytes(parts.value()?).unwrap_or_default()))
}

/// See [`crate::backend::Backend::settle_writes`].
pub(super) async fn settle(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    partition: Partition,
    settled: &[(Line, Settled)],
) -> Result<Vec<Settlement>, BackendError> {
    if settled.is_empty() {
        return Ok(Vec::new());
    }
    let keys = context.keys.shard(shard);
    let (mut own, mut args) = (Arguments::default(), Arguments::default());
    own.text(keys.queue(partition));
    own.text(keys.dead());
    args.text(context.known(shard));
    args.text(context.log_max_events);
    args.text(context.watermarks_max);
    args.text(context.keys.count().get());
    args.text(partition);
    for (Line { id, entry, seq }, settled) in settled {
        args.text(id);
        args.text(keys::name(entry));
        args.text(seq);
        outcome(settled, &mut args);
    }
    let answer = script::SETTLE.run_with(connection, keys, own, args).await;
    let mut parts = Parts::of("settle", answer.map_err(|error| explain(&error))?)?;
    let _settled = parts.text()?;
    let mut parts = Parts::of("settle", parts.value()?)?;
    let mut settlements = Vec::new();
    while !parts.is_empty() {
        settlements.push(match &*parts.bytes()? {
            b"done" => Settlement::Done,
            b"superseded" => Settlement::Superseded,
            b"full" => Settlement::Full,
            _ => return Err(parts.wrong("an unknown status")),
        });
    }
    Ok(settlements)
}

/// As `settle.lua` takes it.
fn outcome(settled: &Settled, args: &mut Arguments) {
    match settled {
        Settled::Flushed { event: false } => args.text("flushed"),
        Settled::Flushed { event: true } => args.text("noted"),
        Settled::Outdone => args.text("outdone"),
        Settled::Parked { pause, counts, error } => {
            args.text("parked");
            args.millis(*pause);
            args.flag(*counts);
            args.text(error);
        }
        Settled::Dead { max, pause, error } => {
            args.text("dead");
            args.millis(*pause);
            args.text(max);
            args.text(error);
        }
    }
}

/// See [`crate::backend::Backend::leave_writes`].
pub(super) async fn leave(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    Leave { partition, worker, to }: &Leave,
) -> Result<(), BackendError> {
    let keys = context.keys.shard(shard);
    let (to, lease) = to.as_ref().map_or(("", Duration::ZERO), |(to, lease)| (to.as_str(), *lease));
    let args =
        vec![Arg::from(worker.as_str()), Arg::from(u64::from(*partition)), Arg::from(to), Arg::from(lease)];
    let answer = script::LEAVE.run(connection, keys, vec![keys.queue(*partition)], args).await;
    answer.map(drop).map_err(|error| explain(&error))
}

/// See [`crate::backend::Backend::survey`].
pub(super) async fn survey(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    Look { beyond, worker, gone }: &Look,
) -> Result<Survey, BackendError> {
    let keys = context.keys.shard(shard);
    let args = vec![
        Arg::from(u64::from(*beyond)),
        Arg::from(u64::from(PARTITIONS_MAX)),
        Arg::from(worker.as_str()),
        Arg::from(*gone),
        Arg::from(WORKERS_MAX as u64),
    ];
    let answer = script::SURVEY.run(connection, keys, vec![keys.dead()], args).await;
    let mut parts = Parts::of("survey", answer.map_err(|error| explain(&error))?)?;
    let _survey = parts.text()?;
    let backlog = Backlog {
        pending: parts.number()?,
        oldest: parts.text()?.parse().ok().map(Duration::from_millis),
        dead: parts.number()?,
    };
    let mut others = Parts::of("survey", parts.value()?)?;
    let mut beyond = Vec::new();
    while !others.is_empty() {
        beyond.push(Partition::try_from(others.number()?).unwrap_or(PARTITIONS_MAX));
    }
    let mut there = Parts::of("survey", parts.value()?)?;
    let mut workers = Vec::new();
    while !there.is_empty() {
        workers.push(there.text()?);
    }
    Ok(Survey { backlog, beyond, workers })
}

/// See [`crate::backend::Backend::waiting_writes`].
pub(super) async fn waiting(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    partition: Partition,
    max: usize,
) -> Result<Vec<Waiting>, BackendError> {
    let keys = context.keys.shard(shard);
    let looked_at = max.saturating_mul(LOOKED_AT_FACTOR);
    let args = vec![Arg::from(max as u64), Arg::from(looked_at as u64)];
    let answer = script::WAITING.run(connection, keys, vec![keys.queue(partition)], args).await;
    let mut parts = Parts::of("waiting", answer.map_err(|error| explain(&error))?)?;
    let _waiting = parts.text()?;
    let mut lines = Parts::of("waiting", parts.value()?)?;
    let mut waiting = Vec::new();
    while !lines.is_empty() {
        let mut parts = Parts::of("waiting", lines.value()?)?;
        waiting.push(Waiting {
            line: line(&mut parts)?.0,
            attempts: attempts(&mut parts)?,
            since_ms: parts.number()?,
            error: Some(parts.text()?).filter(|error| !error.is_empty()),
            due: parts.text()?.parse().ok().map(Duration::from_millis),
        });
    }
    Ok(waiting)
}

/// See [`crate::backend::Backend::dead_writes`]. What is not a dead letter of ours is left out.
pub(super) async fn dead(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    after: &str,
    max: usize,
) -> Result<Vec<Dead>, BackendError> {
    let keys = context.keys.shard(shard);
    let from = if after.is_empty() { "-".to_owned() } else { format!("({after}") };
    let command =
        Command::new("XRANGE", keys.slot).arg(keys.dead()).arg(from).args(["+", "COUNT"]).arg(max as u64);
    let answer = match connection.call(command).await {
        Err(error) if is_wrong_type(&error) => return Ok(Vec::new()),
        answer => answer.map_err(|error| explain(&error))?,
    };
    let mut list = Parts::of("dead", answer)?;
    let mut dead = Vec::new();
    while !list.is_empty() {
        let (id, fields) = stream_entry(list.value()?)?;
        dead.extend(letter(&String::from_utf8_lossy(&id), &fields));
    }
    Ok(dead)
}

fn letter(id: &str, fields: &[Bytes]) -> Option<Dead> {
    let field = |name: &str| {
        let (pairs, _) = fields.as_chunks::<2>();
        pairs.iter().find(|[of, _]| of == name.as_bytes()).map(|[_, value]| value.clone())
    };
    let text = |name: &str| String::from_utf8(field(name)?.into()).ok();
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    let entry = EntryId {
        namespace: Namespace::new(&text("ns")?).ok()?,
        version: u32::try_from(number("v")?).ok()?,
        key: Key::from_bytes(&field("key")?).ok()?,
    };
    Some(Dead {
        id: id.to_owned(),
        pending: Pending {
            line: Line { id: id.to_owned(), entry, seq: number("seq")? },
            lineage: LineageId::new(&text("lin")?),
            attempts: u32::try_from(number("a")?).unwrap_or(u32::MAX),
            since_ms: number("s")?,
        },
        envelope: field("val")?,
        error: text("er")?,
        died_ms: id.split('-').next()?.parse().ok()?,
    })
}

/// See [`crate::backend::Backend::drop_dead`].
pub(super) async fn drop_dead(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    ids: &[String],
) -> Result<u64, BackendError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let keys = context.keys.shard(shard);
    let command = Command::new("XDEL", keys.slot).arg(keys.dead()).args(ids.iter().map(String::as_str));
    let answer = match connection.call(command).await {
        Err(error) if is_wrong_type(&error) => return Ok(0),
        answer => answer.map_err(|error| explain(&error))?,
    };
    number(answer).ok_or_else(|| BackendError::Protocol("XDEL: not a number".to_owned()))
}
