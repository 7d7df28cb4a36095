//! Plain reads of entries, together: one write to the connection for all of them, and one read of an entry for all who
//! ask for it at once.

use std::collections::HashMap;

use fred::types::Value;

use super::Context;
use super::codec::unpack_names;
use super::connection::{Command, Connection};
use super::errors::{explain, is_wrong_type};
use super::link::Generation;
use super::reply::{Parts, bytes, number, text};
use super::together::{Answers, Kind};
use crate::backend::{BackendError, EntryId, LoadId, Stored, Token};
use crate::model::{LineageId, Shard};

/// What is read of an entry.
const FIELDS: [&str; 6] = ["l", "t", "tg", "u", "v", "d"];

/// The single reads of a generation.
pub(super) struct Peeks;

impl Kind for Peeks {
    type Ask = EntryId;
    type Answer = Option<Stored>;

    const GOES_MAX: usize = 4;
    const ASKS_MAX: usize = 128;
    const WEIGHT_MAX: usize = 128;
    const GATHERINGS: u32 = 3;

    fn weight(_: &EntryId) -> usize {
        1
    }

    async fn carry_out(
        context: &Context,
        generation: &Generation,
        _: Shard,
        asks: &[EntryId],
    ) -> Answers<Self> {
        if let [one] = asks {
            return Ok(vec![Ok(peek(context, generation.data(), std::slice::from_ref(one))
                .await?
                .pop()
                .flatten())]);
        }
        let (mut places, mut wanted) = (HashMap::with_capacity(asks.len()), Vec::with_capacity(asks.len()));
        for ask in asks {
            places.entry(ask).or_insert_with(|| {
                wanted.push(ask.clone());
                wanted.len() - 1
            });
        }
        let found = peek(context, generation.data(), &wanted).await?;
        Ok(asks.iter().map(|ask| Ok(found.get(places[ask]).cloned().flatten())).collect())
    }
}

/// See [`crate::backend::Backend::peek`].
pub(super) async fn peek(
    context: &Context,
    connection: &Connection,
    entries: &[EntryId],
) -> Result<Vec<Option<Stored>>, BackendError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let ask = |entry| {
        let keys = context.keys.of(entry).1;
        Command::new("HMGET", keys.slot).arg(keys.entry(entry)).fixed(&FIELDS)
    };
    let answers = connection.call_all(entries.iter().map(ask).collect()).await;
    let answers = answers.map_err(|error| explain(&error))?;
    let peek = |answer| match answer {
        Ok(answer) => peeked(answer),
        Err(error) if is_wrong_type(&error) => Ok(None),
        Err(error) => Err(explain(&error)),
    };
    answers.into_iter().map(peek).collect()
}

/// What is not an entry of ours counts as none: only `lookup` decides.
pub(super) fn peeked(answer: Value) -> Result<Option<Stored>, BackendError> {
    let mut parts = Parts::of("peek", answer)?;
    let mut fields = Vec::with_capacity(FIELDS.len());
    while !parts.is_empty() {
        fields.push(parts.value()?);
    }
    let Ok([lineage, token, names, load, envelope, dirty]) = <[_; FIELDS.len()]>::try_from(fields) else {
        return Err(parts.wrong("not six fields"));
    };
    let read = || {
        let lineage = LineageId::new(&text(lineage)?);
        Some(Stored {
            token: Token { lineage, seq: number(token)? },
            names: unpack_names(&bytes(names)?)?,
            load: LoadId(std::sync::Arc::from(text(load)?)),
            envelope: bytes(envelope)?,
            dirty: number(dirty),
        })
    };
    Ok(read())
}
