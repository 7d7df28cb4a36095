//! Scripts: their texts, and calling them by hash.

use std::sync::LazyLock;

use fred::error::Error;
use fred::types::Value;
use fred::util::sha1_hash;

use super::arguments::Arguments;
use super::connection::{Arg, Command, Connection};
use super::errors::is_noscript;
use super::keys::ShardKeys;
use super::needed::needed;
use crate::mutants;

/// What every script may use.
pub(super) const PRELUDE: &str = include_str!("scripts/prelude.lua");
const CONSUMERS: &str = include_str!("scripts/consumers.lua");
const WORK: &str = include_str!("scripts/work.lua");

const MOVING: &str = include_str!("scripts/moving.lua");

/// A script with everything it needs, and no more.
pub(super) struct Script {
    text: Text,
    /// For Valkey Cluster.
    clustered: Text,
}

struct Text {
    text: String,
    hash: String,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $(@ $first:expr,)? $($part:expr),+;)*) => {$(
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::of(concat!($($first)?), &[$($part),+]));
    )*

    #[cfg(test)]
    fn all() -> Vec<&'static Script> {
        vec![$(&$name),*]
    }

    #[cfg(test)]
    fn wholes() -> Vec<String> {
        vec![$(whole(concat!($($first)?), PRELUDE, &[$($part),+])),*]
    }
    };
}

scripts! {
    /// Before anything else over a connection.
    HANDSHAKE = include_str!("scripts/handshake.lua");
    LOOKUP = include_str!("scripts/lookup.lua");
    FILL = include_str!("scripts/fill.lua");
    RELEASE = include_str!("scripts/release.lua");
    PUBLISH = include_str!("scripts/publish.lua");
    TESTIFY = include_str!("scripts/testify.lua");
    /// With what stands before the functions that all share: they are made anew with every call that comes to them.
    BEAT = @include_str!("scripts/beat_first.lua"), include_str!("scripts/beat.lua");
    ADMIT = include_str!("scripts/admit.lua");
    LOCK = include_str!("scripts/lock.lua");
    EXTEND = include_str!("scripts/extend.lua");
    UNLOCK = include_str!("scripts/unlock.lua");
    HOT = include_str!("scripts/hot.lua");
    CONFIRM = include_str!("scripts/confirm.lua");
    FORGET = CONSUMERS, include_str!("scripts/forget.lua");
    ADOPT = CONSUMERS, include_str!("scripts/adopt.lua");
    DONE = CONSUMERS, include_str!("scripts/done.lua");
    TAKE = CONSUMERS, WORK, include_str!("scripts/take.lua");
    SETTLE = CONSUMERS, WORK, include_str!("scripts/settle.lua");
    LEAVE = include_str!("scripts/leave.lua");
    SURVEY = include_str!("scripts/survey.lua");
    WAITING = CONSUMERS, WORK, include_str!("scripts/waiting.lua");
}

fn whole(first: &str, prelude: &str, parts: &[&str]) -> String {
    [&[first, prelude], parts].concat().join("\n")
}

impl Script {
    fn of(first: &str, parts: &[&str]) -> Self {
        let text = |prelude: &str| {
            let text = needed(&mutants::scripts(whole(first, prelude, parts)));
            Text { hash: sha1_hash(&text), text }
        };
        // A channel of its shard's server instead of one of all servers.
        let sharded = PRELUDE.replace("'PUBLISH'", "'SPUBLISH'");
        Self { text: text(PRELUDE), clustered: text(&format!("{sharded}\n{MOVING}")) }
    }

    /// The same with arguments that lie side by side.
    pub(super) async fn run_with(
        &self,
        connection: &Connection,
        shard: &ShardKeys,
        keys: Arguments,
        args: Arguments,
    ) -> Result<Value, Error> {
        self.call(connection, shard, keys.len(), &[], &[keys, args]).await
    }

    /// Runs it on a shard. `keys` follow the control record, which is always the first.
    pub(super) async fn run(
        &self,
        connection: &Connection,
        shard: &ShardKeys,
        keys: Vec<String>,
        args: Vec<Arg>,
    ) -> Result<Value, Error> {
        let count = keys.len();
        let args: Vec<Arg> = keys.into_iter().map(Arg::from).chain(args).collect();
        self.call(connection, shard, count, &args, &[]).await
    }

    /// `args` and `more`, one after the other, begin with so many keys.
    async fn call(
        &self,
        connection: &Connection,
        shard: &ShardKeys,
        keys: usize,
        args: &[Arg],
        more: &[Arguments],
    ) -> Result<Value, Error> {
        let Text { text, hash } = if shard.clustered { &self.clustered } else { &self.text };
        let command = |name, script: &str| {
            Command::new(name, shard.slot)
                .arg(script)
                .arg(1 + keys as u64)
                .arg(shard.ctl())
                .args(args.iter().cloned())
                .more(more)
        };
        match connection.call(command("EVALSHA", hash)).await {
            // nothing of it was carried out; sent whole, the server keeps it
            Err(error) if is_noscript(&error) => connection.call(command("EVAL", text)).await,
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakenings_fit_the_scripts() {
        let texts = wholes();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(mutants::misfits(&texts), [""; 0]);
    }

    #[test]
    fn on_a_cluster_a_message_goes_to_its_shard() {
        let told = |text: &str| [text.matches("'PUBLISH'").count(), text.matches("'SPUBLISH'").count()];
        for script in all() {
            let single = told(&script.text.text);
            assert!(matches!(single, [0 | 1, 0]));
            assert_eq!(told(&script.clustered.text), [0, single[0]]);
        }
        assert_eq!(told(&PUBLISH.text.text), [1, 0]);
    }
}
