//! How durable what a connection wrote is: waiting for the append-only file and for replicas.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use fred::error::Error;
use fred::types::Value;

use super::Context;
use super::connection::{Arg, Command, Connection};
use super::errors::explain;
use super::reply::{Parts, number};
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

/// An [`Aof`] that changes.
#[derive(Debug, Default)]
pub(super) struct AofCell(AtomicU8);

impl AofCell {
    pub(super) fn set(&self, aof: Aof) {
        self.0.store(aof as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Aof {
        match self.0.load(Ordering::Relaxed) {
            0 => Aof::Off,
            1 => Aof::Sometimes,
            _ => Aof::Always,
        }
    }
}

/// Whether what is published waits behind the script, and holds up what follows on its connection.
pub(super) fn waits(context: &Context, along: Option<&Along>) -> bool {
    0 < context.min_replicas_ack || Durability::Memory < wanted(along)
}

/// What is asked for.
pub(super) fn wanted(along: Option<&Along>) -> Durability {
    match along {
        Some(Along::Pending { wanted, .. }) => *wanted,
        _ => Durability::Memory,
    }
}

/// Waits until what this connection wrote is where it has to be (`coherence.min_replicas_ack`, or that fails) and where
/// it is wanted, for half of `command_timeout` each: the other half is the answer's. Says where it is.
pub(super) async fn harden(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    wanted: Durability,
) -> Result<Durability, BackendError> {
    let demanded = u64::from(context.min_replicas_ack);
    let replicas = if wanted == Durability::Replica { demanded.max(1) } else { demanded };
    if 0 < replicas {
        let patience = patience(context);
        let acknowledged = wait(context, connection, shard, "WAIT", &[replicas]).await?;
        if replicas <= acknowledged.replicas {
            return Ok(Durability::Replica);
        }
        if acknowledged.replicas < demanded {
            return Err(BackendError::Refused(format!(
                "{} of {demanded} replicas acknowledged within {patience:?}; the event stands",
                acknowledged.replicas
            )));
        }
    }
    let aof = match context.aof.get() {
        Aof::Off => false,
        Aof::Always => true,
        Aof::Sometimes if wanted == Durability::Memory => false,
        Aof::Sometimes => wait(context, connection, shard, "WAITAOF", &[1, 0]).await?.local,
    };
    Ok(if aof { Durability::Aof } else { Durability::Memory })
}

struct Acknowledged {
    local: bool,
    replicas: u64,
}

/// `WAIT` answers with a number of replicas, `WAITAOF` with that of files here and elsewhere. A server that does not know
/// the command (Redis before 7.2) has nothing to say.
async fn wait(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    name: &'static str,
    counts: &[u64],
) -> Result<Acknowledged, BackendError> {
    let command = Command::new(name, context.keys.shard(shard).slot)
        .blocking()
        .args(counts.iter().copied())
        .arg(Arg::from(patience(context)));
    let answer = match connection.call_within(command, context.command_timeout).await {
        Err(error) if is_unknown(&error) => return Ok(Acknowledged { local: false, replicas: 0 }),
        answer => answer.map_err(|error| explain(&error))?,
    };
    let wrong = || BackendError::Protocol(format!("{name}: not a number"));
    if let Value::Array(_) = answer {
        let mut parts = Parts::of(name, answer)?;
        return Ok(Acknowledged { local: 0 < parts.number()?, replicas: parts.number()? });
    }
    Ok(Acknowledged { local: false, replicas: number(answer).ok_or_else(wrong)? })
}

fn patience(context: &Context) -> Duration {
    (context.command_timeout / 2).max(Duration::from_millis(1))
}

fn is_unknown(error: &Error) -> bool {
    error.details().to_ascii_lowercase().contains("unknown command")
}
