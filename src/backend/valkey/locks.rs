//! Locks across the cluster.

use std::time::Duration;

use super::connection::{Arg, Connection};
use super::errors::explain;
use super::reply::Parts;
use super::{Context, script};
use crate::backend::{BackendError, Fence, LockAsk, LockToken, Locked};
use crate::model::Key;

/// See [`crate::backend::Backend::lock`]. `None`: the shard has no lineage of this server's, it lost its data.
pub(super) async fn lock(
    context: &Context,
    connection: &Connection,
    ask: LockAsk<'_>,
) -> Result<Option<Locked>, BackendError> {
    let LockAsk { name, token, ttl, wanted } = ask;
    let shard = context.keys.count().of_lock(name);
    let keys = context.keys.shard(shard);
    let args = vec![
        Arg::from(context.clustered),
        Arg::from(token.as_str()),
        Arg::from(at_least_one(ttl)),
        Arg::from(context.fences.highest()),
        Arg::from(context.fences.bound(shard, context.micros())),
        Arg::from(wanted),
    ];
    let answer = script::LOCK.run(connection, keys, vec![keys.lock(name), keys.fence()], args).await;
    let mut parts = Parts::of("lock", answer.map_err(|error| explain(&error))?)?;
    Ok(Some(match parts.text()?.as_str() {
        "lineage" => return Ok(None),
        "held" => {
            let fence = parts.number()?;
            context.fences.seen(fence);
            Locked::Held(fence)
        }
        "busy" => Locked::Busy { left: Duration::from_millis(parts.number()?) },
        _ => return Err(parts.wrong("an unknown status")),
    }))
}

/// See [`crate::backend::Backend::extend`]. `None` as with [`lock`].
pub(super) async fn extend(
    context: &Context,
    connection: &Connection,
    name: &Key,
    token: &LockToken,
    ttl: Duration,
) -> Result<Option<Option<Fence>>, BackendError> {
    let keys = context.keys.shard(context.keys.count().of_lock(name));
    let args = vec![Arg::from(context.clustered), Arg::from(token.as_str()), Arg::from(at_least_one(ttl))];
    let answer = script::EXTEND.run(connection, keys, vec![keys.lock(name)], args).await;
    let mut parts = Parts::of("extend", answer.map_err(|error| explain(&error))?)?;
    Ok(Some(match parts.text()?.as_str() {
        "lineage" => return Ok(None),
        "held" => Some(parts.number()?),
        "lost" => None,
        _ => return Err(parts.wrong("an unknown status")),
    }))
}

/// See [`crate::backend::Backend::unlock`].
pub(super) async fn unlock(
    context: &Context,
    connection: &Connection,
    name: &Key,
    token: &LockToken,
) -> Result<bool, BackendError> {
    let keys = context.keys.shard(context.keys.count().of_lock(name));
    let args = vec![Arg::from(token.as_str()), Arg::from(&**name)];
    let answer = script::UNLOCK.run(connection, keys, vec![keys.lock(name)], args).await;
    let mut parts = Parts::of("unlock", answer.map_err(|error| explain(&error))?)?;
    match parts.text()?.as_str() {
        "unlocked" => Ok(true),
        "lost" => Ok(false),
        _ => Err(parts.wrong("an unknown status")),
    }
}

/// A lock of no length could not be set.
fn at_least_one(ttl: Duration) -> Duration {
    ttl.max(Duration::from_millis(1))
}
