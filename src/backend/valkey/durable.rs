//! How durable what a connection wrote is: waiting for the append-only file and for replicas.

use std::time::Duration;

use fred::error::Error;
use fred::types::Value;

use super::Context;
use super::connection::{Arg, Command};
use super::errors::explain;
use super::reply::{Parts, number};
use super::rounds::{Question, Rounds};
use crate::backend::{Along, BackendError, Durability};
use crate::model::Shard;

/// What the server does with its append-only file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aof {
    /// There is none.
    Off = 0,
    /// It is synced every second or so.
    Sometimes = 1,
    /// Whatever is answered is on the disk.
    Always = 2,
}

/// What is asked for.
pub(super) fn wanted(along: Option<&Along>) -> Durability {
    match along {
        Some(Along::Pending { wanted, .. }) => *wanted,
        _ => Durability::Memory,
    }
}

/// Waits until what was written before is where it has to be (`coherence.min_replicas_ack`, or that fails) and where it is
/// wanted, for a while each. Says where it is.
///
/// With `appendfsync everysec`, Redis 7.4.0 to 7.4.2 and Valkey up to 9.1.2 at least answer WAITAOF before the file is
/// synced (redis/redis#13793): there the last second may be lost all the same.
pub(super) async fn harden(
    context: &Context,
    rounds: &Rounds,
    shard: Shard,
    wanted: Durability,
) -> Result<Durability, BackendError> {
    let demanded = u64::from(context.min_replicas_ack);
    if wanted == Durability::Replica || 0 < demanded {
        let replicas = demanded.max(1);
        let acknowledged = wait(context, rounds, shard, Question::Replicas, replicas).await?;
        if replicas <= acknowledged {
            return Ok(Durability::Replica);
        }
        if acknowledged < demanded {
            let patience = patience(context);
            return Err(BackendError::Refused(format!(
                "{acknowledged} of {demanded} replicas acknowledged within {patience:?}; the event stands"
            )));
        }
    }
    let aof = match rounds.aof() {
        Aof::Off => false,
        Aof::Always => true,
        Aof::Sometimes if wanted == Durability::Memory => false,
        Aof::Sometimes => 0 < wait(context, rounds, shard, Question::Disk, 1).await?,
    };
    Ok(if aof { Durability::Aof } else { Durability::Memory })
}

/// In how many places it is what was written before. A server that does not know the command (Redis before 7.2) has
/// nothing to say.
async fn wait(
    context: &Context,
    rounds: &Rounds,
    shard: Shard,
    question: Question,
    wanted: u64,
) -> Result<u64, BackendError> {
    let keys = context.keys.shard(shard);
    rounds
        .join(shard, question, async |connection| {
            // The server answers for what was written over this very connection: something that all else came before.
            let mark = Command::new("SET", keys.slot).arg(keys.nothing()).arg("").args(["PX", "1"]);
            match connection.call(mark).await.map_err(|error| explain(&error)) {
                // No replica is left that it could go to, or no memory: what was written before stands.
                Err(BackendError::Refused(_)) => return Ok(0),
                marked => drop(marked?),
            }
            let (name, counts) = match question {
                Question::Replicas => ("WAIT", vec![wanted]),
                Question::Disk => ("WAITAOF", vec![wanted, 0]),
            };
            let command =
                Command::new(name, keys.slot).blocking().args(counts).arg(Arg::from(patience(context)));
            match connection.call_within(command, context.command_timeout).await {
                Err(error) if is_unknown(&error) => Ok(0),
                Ok(Value::Array(parts)) => Parts::of(name, Value::Array(parts))?.number(),
                answer => number(answer.map_err(|error| explain(&error))?)
                    .ok_or_else(|| BackendError::Protocol(format!("{name}: not a number"))),
            }
        })
        .await
}

/// Three quarters of `command_timeout`, the rest is the answer's. By default that is longer than the second or so that
/// passes between two syncs of an append-only file.
fn patience(context: &Context) -> Duration {
    (context.command_timeout * 3 / 4).max(Duration::from_millis(1))
}

fn is_unknown(error: &Error) -> bool {
    error.details().to_ascii_lowercase().contains("unknown command")
}
