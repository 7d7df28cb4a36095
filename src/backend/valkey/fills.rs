//! Fills, together in one step of `fill.lua`.

use fred::error::{Error, ErrorKind};
use fred::types::Value;

use super::codec::pack_names;
use super::connection::Arg;
use super::errors::explain;
use super::link::Generation;
use super::reply::Parts;
use super::together::{Answers, Kind};
use super::{Context, script};
use crate::backend::{BackendError, Fill, FillRefusal, Filled};
use crate::model::Shard;

/// What the server has to do for one, in bytes, beside its value.
const FILL_WEIGHT: usize = 1024;

/// The fills of a generation.
pub(super) struct Fills;

impl Kind for Fills {
    type Ask = Fill;
    type Answer = Filled;

    const GOES_MAX: usize = 1;
    const ASKS_MAX: usize = 64;
    const WEIGHT_MAX: usize = 1 << 20;
    const GATHERINGS: u32 = 3;

    fn weight(fill: &Fill) -> usize {
        FILL_WEIGHT + fill.put.envelope.len()
    }

    async fn carry_out(
        context: &Context,
        generation: &Generation,
        shard: Shard,
        asks: &[Fill],
    ) -> Answers<Self> {
        let keys = context.keys.shard(shard);
        let (mut own, mut args) = (Vec::with_capacity(2 * asks.len()), vec![Arg::from(context.clustered)]);
        for Fill { entry, load, token, covering, put, leased } in asks {
            own.extend([keys.entry(entry), keys.lease(&entry.namespace, &entry.key)]);
            args.extend([
                Arg::from(&*load.0),
                Arg::from(token.lineage.as_str()),
                Arg::from(token.seq),
                Arg::from(&*entry.namespace),
                Arg::from(&*entry.key),
                Arg::from(pack_names(&put.names)),
                Arg::from(put.envelope.clone()),
                Arg::from(put.fresh),
                Arg::from(put.kept),
                Arg::from(*leased),
                Arg::from(covering.len() as u64),
            ]);
            args.extend(covering.iter().map(|name| Arg::from(name.as_str())));
        }
        let answer = script::FILL.run(generation.data(), keys, own, args).await;
        filled(answer.map_err(|error| explain(&error))?)
    }
}

/// What `fill.lua` answered to each.
pub(super) fn filled(answer: Value) -> Result<Vec<Result<Filled, BackendError>>, BackendError> {
    let mut parts = Parts::of("fill", answer)?;
    let mut all = Vec::new();
    while !parts.is_empty() {
        let answer = parts.text()?;
        all.push(match answer.as_str() {
            "stored" => Ok(Filled::Stored),
            "lease_lost" => Ok(Filled::Refused(FillRefusal::LeaseLost)),
            "lineage" => Ok(Filled::Refused(FillRefusal::Lineage)),
            "stale" => Ok(Filled::Refused(FillRefusal::Stale)),
            "dirty" => Ok(Filled::Refused(FillRefusal::Dirty)),
            // why the server did not write it
            _ => Err(explain(&Error::new(ErrorKind::Unknown, answer))),
        });
    }
    Ok(all)
}
