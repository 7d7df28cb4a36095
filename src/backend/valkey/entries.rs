//! Entries and their leases.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;

use super::codec::unpack_names;
use super::connection::{Arg, Command, Connection};
use super::errors::{explain, is_wrong_type};
use super::reply::{Parts, number, text};
use super::{Context, script};
use crate::backend::{BackendError, EntryId, Found, LoadId, Lookup, Stored, Token};
use crate::model::{LineageId, Seq};

/// What a lookup said.
pub(super) enum Looked {
    Found(Found),
    /// The shard has no lineage of this server's: it lost its data.
    NoLineage,
}

/// See [`crate::backend::Backend::lookup`].
pub(super) async fn lookup(
    context: &Context,
    connection: &Connection,
    ask: &Lookup,
) -> Result<Looked, BackendError> {
    let (shard, keys) = context.keys.of(&ask.entry);
    let own = vec![keys.entry(&ask.entry), keys.lease(&ask.entry.namespace, &ask.entry.key)];
    let claim = ask.claim.as_ref();
    let mut args = vec![
        Arg::from(context.clustered),
        Arg::from(ask.have.as_ref().map_or("", |have| &have.0)),
        Arg::from(claim.map_or("", |claim| &claim.load.0)),
        // a lease of no length could not be set
        Arg::from(claim.map_or(Duration::ZERO, |claim| claim.lease).max(Duration::from_millis(1))),
        Arg::from(claim.is_some_and(|claim| claim.even_if_fresh)),
    ];
    args.extend(ask.covering.iter().map(|name| Arg::from(name.as_str())));
    let answer = script::LOOKUP.run(connection, keys, own, args).await.map_err(|error| explain(&error))?;
    let (looked, head) = looked(answer)?;
    context.seen(shard, head);
    Ok(looked)
}

/// What `lookup.lua` answered, and the head it saw.
pub(super) fn looked(answer: Value) -> Result<(Looked, Seq), BackendError> {
    let mut parts = Parts::of("lookup", answer)?;
    let status = parts.text()?;
    if status == "lineage" {
        return Ok((Looked::NoLineage, 0));
    }
    let head = parts.token()?;
    let seq = head.seq;
    let left = Duration::from_millis(parts.number()?);
    let copy = if parts.is_empty() { None } else { Some(stored(&mut parts, &head.lineage)?) };
    let found = match (status.as_str(), copy) {
        ("fresh", Some(copy)) => Found::Fresh(Stored { token: head, ..copy }),
        ("same", _) => Found::NotModified(head),
        ("leased", stale) => Found::Leased { token: head, stale },
        ("busy", stale) => Found::Busy { left, stale },
        ("nothing", stale) => Found::Nothing { stale },
        ("doubtful", _) => Found::Doubtful,
        _ => return Err(parts.wrong("an unknown status")),
    };
    Ok((Looked::Found(found), seq))
}

fn stored(parts: &mut Parts, lineage: &LineageId) -> Result<Stored, BackendError> {
    let token = Token { lineage: lineage.clone(), seq: parts.number()? };
    let names =
        unpack_names(&parts.bytes()?).ok_or_else(|| parts.wrong("an entry's names cannot be read"))?;
    let load = LoadId(Arc::from(parts.text()?));
    let envelope = parts.bytes()?;
    let dirty = parts.text()?.parse().ok();
    Ok(Stored { token, names, load, envelope, dirty })
}

/// See [`crate::backend::Backend::lease`].
pub(super) async fn lease(
    context: &Context,
    connection: &Connection,
    entry: &EntryId,
) -> Result<Option<(LoadId, Duration)>, BackendError> {
    let keys = context.keys.of(entry).1;
    let of = |command| Command::new(command, keys.slot).arg(keys.lease(&entry.namespace, &entry.key));
    let answers = connection.call_all(vec![of("GET"), of("PTTL")]).await;
    let answers = answers.map_err(|error| explain(&error))?;
    let Ok([held, left]) = <[_; 2]>::try_from(answers) else { return Ok(None) };
    let held = match held {
        // What somebody else keeps there is no lease.
        Err(error) if is_wrong_type(&error) => return Ok(None),
        held => text(held.map_err(|error| explain(&error))?),
    };
    // Without an expiry, or over since the one command: a negative number.
    let left = number(left.map_err(|error| explain(&error))?);
    let owner = held.as_deref().and_then(|held| held.split_once('|')).map(|(owner, _)| owner);
    Ok(owner.zip(left).map(|(owner, left)| (LoadId(owner.into()), Duration::from_millis(left))))
}

/// See [`crate::backend::Backend::release`].
pub(super) async fn release(
    context: &Context,
    connection: &Connection,
    entry: &EntryId,
    load: &LoadId,
) -> Result<(), BackendError> {
    let (_, keys) = context.keys.of(entry);
    let own = vec![keys.lease(&entry.namespace, &entry.key)];
    let args = vec![Arg::from(&*load.0), Arg::from(&*entry.namespace), Arg::from(&*entry.key)];
    script::RELEASE.run(connection, keys, own, args).await.map_err(|error| explain(&error))?;
    Ok(())
}
