//! Publishing: what `publish.lua` takes for each of the publications of a step, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;

use super::arguments::Arguments;
use super::codec::{pack, pack_names};
use super::connection::Connection;
use super::errors::explain;
use super::keys::ShardKeys;
use super::link::Generation;
use super::members::read_members;
use super::reply::Parts;
use super::{Context, durable, script, spelling};
use crate::backend::{
    Along, BackendError, Durability, HOLD_MAX, LoadId, Member, Publication, Published, Put, Token,
};
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
    let mut published =
        generation.batches().publications.ask(context, generation, shard, publication).await?;
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
    let (mut own, mut args) = (Arguments::default(), Arguments::default());
    args.text(context.known(shard));
    args.text(context.log_max_events);
    args.text(context.watermarks_max);
    args.text(context.keys.count().get());
    for publication in publications {
        push(keys, &mut own, &mut args, publication);
    }
    let answer = script::PUBLISH.run_with(connection, keys, own, args).await;
    let answers = answers(answer.map_err(|error| explain(&error))?)?;
    for published in answers.iter().flatten() {
        context.seen(shard, published.token.seq);
    }
    Ok(answers)
}

/// As `publish.lua` takes it.
fn push(keys: &ShardKeys, own: &mut Arguments, args: &mut Arguments, publication: &Publication) {
    let Publication { event, entries, confirm, along, repeat_after, .. } = publication;
    let trace = event.provenance.trace.map(|trace| trace.to_string()).unwrap_or_default();
    let fields = spelling::fields(event, *confirm, &trace);

    let leases = spelling::leases(event, keys, own);
    // What goes along is about the first of those that are dropped, or about none of them.
    let about = along.as_ref().map(Along::entry);
    let first_too = about.is_some() && about == entries.first();
    if let Some(entry) = about {
        own.text(keys.entry(entry));
    }
    for entry in entries.iter().skip(usize::from(first_too)) {
        own.text(keys.entry(entry));
    }
    let all_entries = entries.len() + usize::from(about.is_some() && !first_too);

    let shape = args.room(SHAPE_BYTES);
    for field in &fields {
        args.bytes(field.as_bytes());
    }
    let names = spelling::names(event, args);
    args.bytes(&pack(&fields));
    if let Some(request_id) = &event.request_id {
        args.bytes(request_id.as_bytes());
        args.text(repeat_after);
    }
    if let Some(along) = along {
        push_along(args, along);
    }

    let mut said = Vec::with_capacity(SHAPE_BYTES);
    for count in [fields.len(), names, leases, all_entries, entries.len()] {
        // An event has at most a thousand targets, and four fields for each at the most.
        said.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    }
    for flag in [event.hardness == Hardness::Soft, spelling::is_of_all(event), event.request_id.is_some()] {
        said.push(u8::from(flag));
    }
    said.push(along.as_ref().map_or(0, kind));
    args.fill(shape, &said);
}

/// Bytes of a publication's shape: five counts and four flags.
const SHAPE_BYTES: usize = 14;

/// What goes along, as `publish.lua` numbers it.
fn kind(along: &Along) -> u8 {
    match along {
        Along::Value { .. } => 1,
        Along::Quarantine { .. } => 2,
        Along::Ended { .. } => 3,
        Along::Pending { .. } => 4,
    }
}

/// What goes along: load, names, envelope, fresh, kept, and more.
fn push_along(args: &mut Arguments, along: &Along) {
    fn with_value(args: &mut Arguments, load: &LoadId, put: Option<&Put>) {
        args.bytes(load.0.as_bytes());
        match put {
            Some(Put { names, envelope, fresh, kept }) => {
                args.shared(pack_names(names));
                args.shared(envelope.clone());
                args.millis(*fresh);
                args.millis(*kept);
            }
            None => (0..4).for_each(|_| args.bytes(b"")),
        }
    }
    match along {
        Along::Value { load, put, .. } => {
            with_value(args, load, Some(put));
            (0..2).for_each(|_| args.bytes(b""));
        }
        Along::Quarantine { load, hold, .. } => {
            with_value(args, load, None);
            // one of no length could not be set
            args.millis((*hold).clamp(Duration::from_millis(1), HOLD_MAX));
            args.bytes(b"");
        }
        Along::Ended { load, put, written, .. } => {
            with_value(args, load, put.as_ref());
            match written {
                Some(written) => args.text(written),
                None => args.bytes(b""),
            }
            args.flag(put.is_some());
        }
        Along::Pending { load, put, partition, backlog_max, .. } => {
            with_value(args, load, Some(put));
            args.text(partition);
            args.text(backlog_max);
        }
    }
}

/// What `publish.lua` answered.
pub(super) fn answers(answer: Value) -> Result<Vec<Result<Published, BackendError>>, BackendError> {
    let mut parts = Parts::of("publish", answer)?;
    let _published = parts.text()?;
    let members: Arc<[Member]> = read_members(Parts::of("members", parts.value()?)?)?.into();
    let mut answers = Parts::of("publish", parts.value()?)?;
    let mut all = Vec::new();
    while !answers.is_empty() {
        let (lineage, seq, what) = (answers.lineage()?, answers.number()?, answers.bytes()?);
        let (repeated, deferred, stored) = match &*what {
            b"full" => {
                all.push(Err(BackendError::Full(seq)));
                continue;
            }
            b"logged" => (false, false, false),
            b"logged stored" => (false, false, true),
            b"deferred" => (false, true, false),
            b"deferred stored" => (false, true, true),
            b"repeated" => (true, false, false),
            _ => return Err(answers.wrong("an unknown status")),
        };
        all.push(Ok(Published {
            token: Token { lineage, seq },
            repeated,
            members: Arc::clone(&members),
            deferred,
            stored,
            durability: Durability::default(),
        }));
    }
    Ok(all)
}
