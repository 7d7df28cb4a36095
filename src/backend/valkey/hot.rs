//! The hottest keys of each namespace, as instances that stopped have left them.

use super::connection::{Arg, Command, Connection};
use super::errors::{explain, is_wrong_type};
use super::reply::Parts;
use super::{Context, script};
use crate::backend::{BackendError, HOT_KEPT, HOT_KEYS_MAX, HOT_MERGED, HotKey};
use crate::model::{Key, Namespace};

/// See [`crate::backend::Backend::keep_hot`].
pub(super) async fn keep(
    context: &Context,
    connection: &Connection,
    namespace: &Namespace,
    keys: &[HotKey],
) -> Result<(), BackendError> {
    let shard = context.keys.shard(context.keys.count().of_hot(namespace));
    let mut args = vec![Arg::from(HOT_KEYS_MAX as u64), Arg::from(HOT_KEPT), Arg::from(HOT_MERGED)];
    args.extend(
        keys.iter().flat_map(|HotKey { heat, key }| [Arg::from(u64::from(*heat)), Arg::from(&**key)]),
    );
    let answer = script::HOT.run(connection, shard, vec![shard.hot(namespace)], args).await;
    answer.map_err(|error| explain(&error))?;
    Ok(())
}

/// See [`crate::backend::Backend::hot`]. What is no key of ours is passed over: somebody else put it there.
pub(super) async fn keys(
    context: &Context,
    connection: &Connection,
    namespace: &Namespace,
) -> Result<Vec<Key>, BackendError> {
    let shard = context.keys.shard(context.keys.count().of_hot(namespace));
    let command = Command::new("ZREVRANGE", shard.slot).arg(shard.hot(namespace));
    let answer = match connection.call(command.arg(0_u64).arg(HOT_KEYS_MAX as u64 - 1)).await {
        Err(error) if is_wrong_type(&error) => return Ok(Vec::new()),
        answer => answer.map_err(|error| explain(&error))?,
    };
    let mut parts = Parts::of("hot", answer)?;
    let mut keys = Vec::new();
    while !parts.is_empty() {
        keys.extend(Key::from_bytes(&parts.bytes()?).ok());
    }
    Ok(keys)
}
