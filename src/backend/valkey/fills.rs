//! Fills, together in one step of `fill.lua`.

use fred::error::{Error, ErrorKind};
use fred::types::Value;

use super::arguments::Arguments;
use super::codec::pack_names;
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
        let (mut own, mut args) = (Arguments::default(), Arguments::default());
        args.flag(context.clustered);
        for Fill { entry, load, token, covering, put, leased } in asks {
            own.text(keys.entry(entry));
            own.text(keys.lease(&entry.namespace, &entry.key));
            args.bytes(load.0.as_bytes());
            args.bytes(token.lineage.as_str().as_bytes());
            args.text(token.seq);
            args.bytes(entry.namespace.as_bytes());
            args.bytes(entry.key.as_bytes());
            args.shared(pack_names(&put.names));
            args.shared(put.envelope.clone());
            args.millis(put.fresh);
            args.millis(put.kept);
            args.flag(*leased);
            args.text(covering.len());
            for name in covering {
                args.bytes(name.as_str().as_bytes());
            }
        }
        let answer = script::FILL.run_with(generation.data(), keys, own, args).await;
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
