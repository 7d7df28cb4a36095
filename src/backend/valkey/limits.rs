//! Limits of the whole cluster: who has spent how much.

use std::time::Duration;

use super::connection::{Arg, Connection};
use super::errors::explain;
use super::reply::Parts;
use super::{Context, script};
use crate::backend::{Arrival, BackendError};
use crate::model::{Shard, Verdict};

/// Where it is counted what a caller has spent.
pub(super) fn shard(context: &Context, arrival: Arrival<'_>) -> Shard {
    context.keys.count().of(arrival.namespace, &arrival.caller.to_string())
}

/// See [`crate::backend::Backend::admit`].
pub(super) async fn admit(
    context: &Context,
    connection: &Connection,
    arrival: Arrival<'_>,
) -> Result<Verdict, BackendError> {
    let keys = context.keys.shard(shard(context, arrival));
    let Arrival { namespace, caller, quota } = arrival;
    let caller = caller.to_string();
    let interval = u64::try_from(quota.interval().as_nanos()).unwrap_or(u64::MAX);
    let args = vec![Arg::from(interval), Arg::from(u64::from(quota.burst()))];
    let answer = script::ADMIT.run(connection, keys, vec![keys.caller(namespace, &caller)], args).await;
    let mut parts = Parts::of("admit", answer.map_err(|error| explain(&error))?)?;
    match parts.text()?.as_str() {
        "admitted" => Ok(Verdict::Admitted { left: u32::try_from(parts.number()?).unwrap_or(u32::MAX) }),
        "refused" => Ok(Verdict::Refused { wait: Duration::from_micros(parts.number()?) }),
        _ => Err(parts.wrong("an unknown status")),
    }
}
