//! What a connection must show before it is used: the server is a primary, new enough, keeps what it is told to keep,
//! and is the one that the shards' lineages were begun on.

use std::collections::HashMap;
use std::iter;

use futures_util::future::try_join_all;

use super::connection::{Arg, Command, Connection};
use super::durable::Aof;
use super::errors::explain;
use super::reply::{Parts, text};
use super::socket::Socket;
use super::{Context, script};
use crate::backend::BackendError;
use crate::model::Shard;

/// The oldest server whose scripts and functions do what ours need.
const MAJOR_MIN: u32 = 7;

/// A server that may be used.
pub(super) struct Checked {
    /// Such as `valkey 9.1.2`.
    pub(super) server: String,
    /// What an operator should mend.
    pub(super) warnings: Vec<String>,
    /// What it does with its append-only file, as far as it was asked.
    pub(super) aof: Aof,
}

/// Why a connection is not used.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server cannot be asked now.
    Down(BackendError),
    /// It must not be used; why, and what mends it.
    Refused(String),
    /// It must not be used, for it is a replica; whose, and what mends it.
    Replica(String),
}

impl From<BackendError> for Fault {
    fn from(error: BackendError) -> Self {
        Self::Down(error)
    }
}

impl From<Fault> for BackendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Down(error) => error,
            Fault::Refused(why) | Fault::Replica(why) => Self::Refused(why),
        }
    }
}

/// Checks the server and reconciles every shard with it.
pub(super) async fn handshake(context: &Context, connection: &Connection) -> Result<Checked, Fault> {
    let checked = look_over(context, connection).await?;
    let shards = context.keys.count().all();
    try_join_all(shards.map(|shard| reconcile(context, connection, shard))).await?;
    Ok(checked)
}

/// Checks the server; its shards are still to be reconciled with it.
pub(super) async fn look_over(context: &Context, connection: &Connection) -> Result<Checked, Fault> {
    let Checked { server, mut warnings, aof } = check_server(context, connection).await?;
    let (aof, dumps) = persistence(connection, aof).await;
    if context.keeps_writes && aof == Aof::Off {
        let dumps = if dumps { "only dumps now and then" } else { "nothing" };
        warnings.push(format!(
            "{server} keeps {dumps} on disk: writes behind that it has acknowledged and not yet brought to their origin \
             are lost with it. `CONFIG SET appendonly yes`, and the same in its configuration file"
        ));
    }
    Ok(Checked { server, warnings, aof })
}

/// What the server does with its append-only file, and whether it makes dumps. One that does not let itself be asked
/// (`CONFIG` is often forbidden) counts as syncing now and then, and as making dumps.
async fn persistence(connection: &Connection, aof: Aof) -> (Aof, bool) {
    let asked = Command::new("CONFIG", 0).args(["GET", "appendfsync", "save"]);
    let settings: Vec<String> = match connection.call(asked).await.map(|answer| Parts::of("config", answer)) {
        Ok(Ok(mut parts)) => iter::from_fn(|| parts.text().ok()).collect(),
        _ => Vec::new(),
    };
    let set = |name: &str| {
        let (pairs, _) = settings.as_chunks::<2>();
        pairs.iter().find(|[of, _]| of == name).map(|[_, value]| value.as_str())
    };
    let aof = match (aof, set("appendfsync")) {
        (Aof::Off, _) => Aof::Off,
        (_, Some("always")) => Aof::Always,
        (_, _) => Aof::Sometimes,
    };
    (aof, set("save").is_none_or(|save| !save.is_empty()))
}

async fn check_server(context: &Context, connection: &Connection) -> Result<Checked, Fault> {
    let answer = connection.call(Command::new("INFO", 0)).await.map_err(|error| explain(&error))?;
    let info = text(answer).ok_or_else(|| BackendError::Protocol("INFO: not a text".to_owned()))?;
    check_info(context, &info)
}

/// Only looks at what the server says of itself in `INFO`: for connections that carry messages and no data.
pub(super) fn check_info(context: &Context, info: &str) -> Result<Checked, Fault> {
    let is = |line: &str| info.lines().any(|of| of.trim_end() == line);
    if context.clustered && is("role:slave") {
        // The map was old, or will be in a moment.
        return Err(Fault::Down(BackendError::Unavailable("it is a replica".to_owned())));
    }
    if !context.clustered && (is("redis_mode:cluster") || is("server_mode:cluster")) {
        let why = "it is a node of a Cluster: `backend.url = \"valkey-cluster://…\"`, with any of its nodes";
        return Err(Fault::Refused(why.to_owned()));
    }
    judge(info)
}

/// What `INFO` says of a server: usable, with warnings, or why not.
fn judge(info: &str) -> Result<Checked, Fault> {
    let fields: HashMap<&str, &str> = info.lines().filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();

    let compatible = field("redis_version");
    let server = match fields.get("valkey_version") {
        Some(version) => format!("valkey {version}"),
        None => format!("redis {compatible}"),
    };
    let major: u32 = compatible.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < MAJOR_MIN {
        let old = format!("{server} is too old: coherd needs Valkey 7.2 or Redis 7.0 or later");
        return Err(Fault::Refused(old));
    }
    if field("role") != "master" {
        return Err(Fault::Replica(format!(
            "{server} is a replica of {}:{}: point `backend.url` at the primary, or make this one the primary with \
             `REPLICAOF NO ONE`",
            field("master_host"),
            field("master_port")
        )));
    }
    let policy = field("maxmemory_policy");
    if policy.starts_with("allkeys-") {
        return Err(Fault::Refused(format!(
            "{server} may evict coherd's control record (maxmemory-policy {policy}): \
             `CONFIG SET maxmemory-policy volatile-lru`, and the same in its configuration file"
        )));
    }

    let mut warnings = Vec::new();
    let replicas: u32 = field("connected_slaves").parse().unwrap_or(0);
    // the server names the number of good replicas only where it demands some
    if 0 < replicas && !fields.contains_key("min_slaves_good_slaves") {
        warnings.push(format!(
            "{server} has {replicas} replicas and would go on alone after losing them: \
             `CONFIG SET min-replicas-to-write 1` bounds how long two primaries can both be believed"
        ));
    }
    Ok(Checked { server, warnings, aof: if field("aof_enabled") == "1" { Aof::Sometimes } else { Aof::Off } })
}

/// Compares the server with the one that the shard's lineage was begun on; another one begins a new lineage.
pub(super) async fn reconcile(context: &Context, connection: &Connection, shard: Shard) -> Result<(), Fault> {
    let mut args = vec![Arg::from(context.known(shard))];
    args.extend(context.settings_args());
    let answer = script::HANDSHAKE.run(connection, context.keys.shard(shard), Vec::new(), args).await;
    let mut parts = Parts::of("handshake", answer.map_err(|error| explain(&error))?)?;
    let _ready = parts.text()?;
    let head = parts.token()?;
    context.seen(shard, head.seq);
    let (theirs, ours) = (parts.number()?, u64::from(context.keys.count().get()));
    if theirs != ours {
        return Err(Fault::Refused(format!(
            "the cluster's keys are spread over {theirs} shards, this instance is told {ours}: give all instances the \
             same `backend.shards`, or stop them all and `DEL {}`",
            context.keys.shard(shard).ctl()
        )));
    }
    Ok(())
}

/// Whether the server that a connection leads to is the one that the shard was compared with: for connections that are only
/// read over. Where it is not, nothing is begun: a lineage begins where it is written.
pub(super) async fn is_as_compared(
    context: &Context,
    socket: &mut Socket,
    shard: Shard,
) -> Result<bool, Fault> {
    let info = socket.ask(&["INFO"], |_| {}).await?.concat();
    check_info(context, &info)?;
    let id = info.lines().find_map(|line| line.trim_end().strip_prefix("master_replid:"));
    let kept = socket.ask(&["HGET", &context.keys.shard(shard).ctl(), "rid"], |_| {}).await?;
    Ok(id.is_some_and(|id| kept == [id]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "redis_version:7.2.4\r\nrole:master\r\nmaxmemory_policy:noeviction\r\nconnected_slaves:0\r\n";

    #[test]
    fn a_server_is_named_and_accepted() {
        assert_eq!(judge(GOOD).unwrap_or_else(|why| panic!("{why:?}")).server, "redis 7.2.4");
        let valkey = format!("{GOOD}valkey_version:9.1.2\r\n");
        assert_eq!(judge(&valkey).unwrap_or_else(|why| panic!("{why:?}")).server, "valkey 9.1.2");
    }

    #[test]
    fn a_refusal_says_what_mends_it() {
        let refused = |from, to| {
            judge(&GOOD.replace(from, to))
                .map_or_else(BackendError::from, |_| panic!("no refusal"))
                .to_string()
        };
        assert!(refused("7.2.4", "6.2.14").contains("7.0"));
        assert!(refused("role:master", "role:slave").contains("REPLICAOF NO ONE"));
        assert!(refused("noeviction", "allkeys-lru").contains("CONFIG SET maxmemory-policy"));
    }

    #[test]
    fn replicas_that_nobody_waits_for_are_a_warning() {
        let lonely = GOOD.replace("connected_slaves:0", "connected_slaves:2");
        assert_eq!(judge(&lonely).unwrap_or_else(|why| panic!("{why:?}")).warnings.len(), 1);
        let guarded = format!("{lonely}min_slaves_good_slaves:2\r\n");
        assert!(judge(&guarded).unwrap_or_else(|why| panic!("{why:?}")).warnings.is_empty());
    }
}
