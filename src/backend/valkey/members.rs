//! Members: who shares the log, how far they are, and whether they live.

use std::time::Duration;

use fred::types::Value;

use super::connection::{Arg, Command, Connection};
use super::errors::explain;
use super::reply::{Parts, bytes};
use super::{Context, script};
use crate::backend::{BackendError, Beat, Head, Member};
use crate::model::{Nonce, Seq, Shard};

/// See [`crate::backend::Backend::beat`].
pub(super) async fn beat(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    beat: &Beat,
) -> Result<Head, BackendError> {
    let Beat { member, known } = beat;
    context.seen(shard, *known);
    let mut args = vec![Arg::from(context.known(shard))];
    args.extend(context.settings_args());
    args.extend([
        Arg::from(member.instance.as_str()),
        Arg::from(member.cursor),
        Arg::from(member.beats),
        Arg::from(member.max_staleness),
        Arg::from(context.verify),
    ]);
    let sent = context.micros();
    let answer = script::BEAT.run(connection, context.keys.shard(shard), Vec::new(), args).await;
    let answered = context.micros();
    let head = beaten(answer.map_err(|error| explain(&error))?)?;
    context.seen(shard, head.token.seq);
    context.fences.clock_seen(shard, sent, answered, head.time_us);
    Ok(head)
}

/// What `beat.lua` answered.
pub(super) fn beaten(answer: Value) -> Result<Head, BackendError> {
    let mut parts = Parts::of("beat", answer)?;
    let _head = parts.text()?;
    let token = parts.token()?;
    Ok(Head { token, nonce: Nonce::new(&parts.text()?), time_us: parts.number()?, called: parts.number()? })
}

/// See [`crate::backend::Backend::confirm`].
pub(super) async fn confirm(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    instance: &str,
    cursor: Seq,
) -> Result<(), BackendError> {
    let args = vec![Arg::from(instance), Arg::from(cursor)];
    let answer = script::CONFIRM.run(connection, context.keys.shard(shard), Vec::new(), args).await;
    answer.map_err(|error| explain(&error))?;
    Ok(())
}

/// See [`crate::backend::Backend::members`].
pub(super) async fn members(
    context: &Context,
    connection: &Connection,
    shard: Shard,
) -> Result<Vec<Member>, BackendError> {
    let keys = context.keys.shard(shard);
    let command = Command::new("HGETALL", keys.slot).arg(keys.members());
    let answer = connection.call(command).await.map_err(|error| explain(&error))?;
    read_members(Parts::of("members", answer)?)
}

/// See [`crate::backend::Backend::forget`].
pub(super) async fn forget(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    instance: &str,
    beats: Option<u64>,
) -> Result<(), BackendError> {
    let beats = beats.map(|beats| beats.to_string()).unwrap_or_default();
    let keys = context.keys.shard(shard);
    // the inbox is in the first shard, and no script reaches into another
    let inbox = if shard.0 == 0 { vec![context.keys.inbox()] } else { Vec::new() };
    let args = vec![Arg::from(instance), Arg::from(beats)];
    let answer = script::FORGET.run(connection, keys, inbox, args).await;
    answer.map_err(|error| explain(&error))?;
    Ok(())
}

/// Members as the hash has them: instance, then `cursor|beats|max staleness`. What does not read so is not a member.
pub(super) fn read_members(mut parts: Parts) -> Result<Vec<Member>, BackendError> {
    let mut members = Vec::new();
    while !parts.is_empty() {
        let instance = parts.text()?;
        let record = bytes(parts.value()?).ok_or_else(|| parts.wrong("a member is not text"))?;
        members.extend(read_member(instance, &record));
    }
    members.sort_by(|a, b| a.instance.cmp(&b.instance));
    Ok(members)
}

fn read_member(instance: String, record: &[u8]) -> Option<Member> {
    let mut fields = std::str::from_utf8(record).ok()?.split('|').map(|field| field.parse::<u64>().ok());
    let (cursor, beats, staleness) = (fields.next()??, fields.next()??, fields.next()??);
    Some(Member { instance, cursor, max_staleness: Duration::from_millis(staleness), beats })
}
