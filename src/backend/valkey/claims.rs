//! Leases for entries that are not there, together: what `lookup.lua` answers in that commonest case of a miss, for a
//! fraction of what a script costs the server.
//!
//! The lease is written with the place in the log that this instance has reached, which is the token if it proves to be
//! the head; the answers behind it say whether it was, and whether the entry was still not there. If not, the script
//! decides: a lease of the same load is its own.

use std::time::Duration;

use fred::types::Value;

use super::Context;
use super::connection::Command;
use super::errors::explain;
use super::link::Generation;
use super::reply::{number, text};
use super::together::{Answers, Kind};
use crate::backend::{EntryId, LoadId, Token};
use crate::model::Shard;

/// What it takes.
pub(super) struct Wanted {
    pub(super) entry: EntryId,
    pub(super) load: LoadId,
    pub(super) lease: Duration,
    /// The place that this instance has reached.
    pub(super) token: Token,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The lease is this load's, under its token, and the entry is not there.
    Yes,
    /// The lease is this load's; the entry or the token is another.
    Otherwise,
    /// The lease is not this load's.
    No,
}

/// The claims of a generation.
pub(super) struct Claims;

impl Kind for Claims {
    type Ask = Wanted;
    type Answer = Claimed;

    const GOES_MAX: usize = 4;
    const ASKS_MAX: usize = 64;
    const WEIGHT_MAX: usize = 64;
    const GATHERINGS: u32 = 3;

    fn weight(_: &Wanted) -> usize {
        1
    }

    async fn carry_out(
        context: &Context,
        generation: &Generation,
        shard: Shard,
        asks: &[Wanted],
    ) -> Answers<Self> {
        let keys = context.keys.shard(shard);
        let connection = generation.data();
        let claim = |Wanted { entry, load, lease, token }: &Wanted| {
            let held = format!("{}|{}|{}", load.0, token.seq, token.lineage.as_str());
            // a lease of no length could not be set
            let lease = (*lease).max(Duration::from_millis(1));
            let key = keys.lease(&entry.namespace, &entry.key);
            Command::new("SET", keys.slot).arg(key).arg(held).fixed(&["NX", "PX"]).arg(lease)
        };
        let there = |Wanted { entry, .. }: &Wanted| Command::new("EXISTS", keys.slot).arg(keys.entry(entry));
        // after all leases: what was logged by then is newer than none of them
        let head = Command::new("HMGET", keys.slot).arg(keys.ctl()).fixed(&["lin", "seq"]);
        let commands = asks.iter().map(claim).chain(asks.iter().map(there)).chain([head]).collect();
        let mut answers = connection.call_all(commands).await.map_err(|error| explain(&error))?;
        let head = answers.pop().and_then(Result::ok).unwrap_or(Value::Null);
        let head: Vec<Option<String>> = head.into_array().into_iter().map(text).collect();
        let there = answers.split_off(asks.len());
        let claimed = asks.iter().zip(answers).zip(there).map(|((Wanted { token, .. }, set), there)| {
            // of what the server said, the script says it better
            let Ok(set) = set else { return Ok(Claimed::No) };
            if set.is_null() {
                return Ok(Claimed::No);
            }
            let at_head = matches!(head.as_slice(), [Some(lineage), Some(seq)]
                if lineage == token.lineage.as_str() && seq.parse() == Ok(token.seq));
            let absent = there.is_ok_and(|there| number(there) == Some(0));
            Ok(if at_head && absent { Claimed::Yes } else { Claimed::Otherwise })
        });
        Ok(claimed.collect())
    }
}
