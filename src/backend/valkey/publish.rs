//! Publishing: what `publish.lua` takes for each of the publications of a step, and what it answers.

use std::time::Duration;

use fred::types::Value;

use super::codec::{pack_names, provenance_args, target_args};
use super::connection::{Arg, Connection};
use super::errors::explain;
use super::keys::ShardKeys;
use super::link::Generation;
use super::members::read_members;
use super::reply::Parts;
use super::{Context, durable, script};
use crate::backend::{Along, BackendError, Durability, HOLD_MAX, Publication, Published, Put};
use crate::model::{Event, Hardness, Shard};

/// See [`crate::backend::Backend::publish`].
pub(super) async fn publish(
    context: &Context,
    generation: &Generation,
    shard: Shard,
    publication: Publication,
) -> Result<Published, BackendError> {
    check(&publication)?;
    context.seen(shard, publication.known);
    let wanted = durable::wanted(publication.along.as_ref());
    let mut published = generation.steps().publish(context, generation, shard, publication).await?;
    published.durability = durable::harden(context, generation.rounds(), shard, wanted).await?;
    Ok(published)
}

fn check(Publication { event, .. }: &Publication) -> Result<(), BackendError> {
    if event.targets.is_empty() || Event::TARGETS_MAX < event.targets.len() {
        return Err(BackendError::Refused(format!(
            "an event has 1 to {} targets, this one has {}",
            Event::TARGETS_MAX,
            event.targets.len()
        )));
    }
    if Event::TEXT_BYTES_MAX < event.request_id.as_deref().unwrap_or_default().len() {
        return Err(BackendError::Refused(format!(
            "a request id has at most {} bytes",
            Event::TEXT_BYTES_MAX
        )));
    }
    Ok(())
}

/// Publishes all of them in one step of the server; an answer for each, in their order.
pub(super) async fn step(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    publications: impl Iterator<Item = &Publication>,
) -> Result<Vec<Result<Published, BackendError>>, BackendError> {
    let keys = context.keys.shard(shard);
    let mut own = Vec::new();
    let mut args = vec![Arg::from(context.known(shard))];
    args.extend(context.settings_args());
    for publication in publications {
        push(keys, &mut own, &mut args, publication);
    }
    let answer = script::PUBLISH.run(connection, keys, own, args).await.map_err(|error| explain(&error))?;
    let answers = answers(answer)?;
    for published in answers.iter().flatten() {
        context.seen(shard, published.token.seq);
    }
    Ok(answers)
}

fn push(keys: &ShardKeys, own: &mut Vec<String>, args: &mut Vec<Arg>, publication: &Publication) {
    let Publication { event, entries, confirm, along, repeat_after, .. } = publication;
    own.extend(along.iter().map(|along| keys.entry(along.entry())));
    own.extend(entries.iter().map(|entry| keys.entry(entry)));
    args.extend([Arg::from(entries.len() as u64), Arg::from(event.targets.len() as u64)]);
    args.extend([Arg::from(event.hardness == Hardness::Soft), Arg::from(*confirm)]);
    args.extend(provenance_args(&event.provenance));
    args.push(event.provenance.trace.map_or_else(|| Arg::from(""), |trace| Arg::from(trace.to_string())));
    args.extend([Arg::from(event.request_id.as_deref().unwrap_or_default()), Arg::from(*repeat_after)]);
    match along {
        None => args.push(Arg::from("")),
        Some(along) => args.extend(along_args(along)),
    }
    args.extend(target_args(&event.targets));
}

/// What goes along: what, load, names, envelope, fresh, kept, and three more.
fn along_args(along: &Along) -> [Arg; 9] {
    let nothing = || Arg::from("");
    let value = |put: &Put| {
        let Put { names, envelope, fresh, kept } = put;
        [Arg::from(pack_names(names)), Arg::from(envelope.clone()), Arg::from(*fresh), Arg::from(*kept)]
    };
    let no_value = || [""; 4].map(Arg::from);
    let (what, load, [names, envelope, fresh, kept], [first, second, third]) = match along {
        Along::Value { load, put, .. } => ("value", load, value(put), [nothing(), nothing(), nothing()]),
        Along::Quarantine { load, hold, .. } => {
            // one of no length could not be set
            let hold = (*hold).clamp(Duration::from_millis(1), HOLD_MAX);
            ("hold", load, no_value(), [Arg::from(hold), nothing(), nothing()])
        }
        Along::Ended { load, put, written, .. } => {
            let written = written.map_or_else(nothing, Arg::from);
            let more = [written, Arg::from(put.is_some()), nothing()];
            ("end", load, put.as_ref().map_or_else(no_value, value), more)
        }
        Along::Pending { entry, load, put, partition, backlog_max, .. } => {
            let more = [
                Arg::from(u64::from(*partition)),
                Arg::from(*backlog_max),
                Arg::from(u64::from(entry.version)),
            ];
            ("pending", load, value(put), more)
        }
    };
    [Arg::from(what), Arg::from(&*load.0), names, envelope, fresh, kept, first, second, third]
}

/// What `publish.lua` answered.
pub(super) fn answers(answer: Value) -> Result<Vec<Result<Published, BackendError>>, BackendError> {
    let mut parts = Parts::of("publish", answer)?;
    let _published = parts.text()?;
    let members = read_members(Parts::of("members", parts.value()?)?)?;
    let mut answers = Parts::of("publish", parts.value()?)?;
    let mut all = Vec::new();
    while !answers.is_empty() {
        let mut parts = Parts::of("publish", answers.value()?)?;
        let status = parts.text()?;
        if status == "full" {
            all.push(Err(BackendError::Full(parts.number()?)));
            continue;
        }
        let token = parts.token()?;
        let (deferred, stored) = (parts.text()? == "1", parts.text()? == "1");
        all.push(Ok(Published {
            token,
            repeated: status == "repeated",
            members: members.clone(),
            deferred,
            stored,
            durability: Durability::default(),
        }));
    }
    Ok(all)
}
