//! Publications together: a step costs the server about as much for one publication as for three, for it looks at who it
//! is, at the control record and at the clock once for all of them.

use super::link::Generation;
use super::together::{Answers, Kind};
use super::{Context, publish};
use crate::backend::{Along, Publication, Published};
use crate::model::Shard;

/// What the server has to do for a target or an entry, in bytes.
const TARGET_WEIGHT: usize = 512;

/// The publications of a generation.
pub(super) struct Publications;

impl Kind for Publications {
    type Ask = Publication;
    type Answer = Published;

    const GOES_MAX: usize = 1;
    const ASKS_MAX: usize = 64;
    const WEIGHT_MAX: usize = 1 << 20;
    const GATHERINGS: u32 = 3;

    fn weight(Publication { event, entries, along, .. }: &Publication) -> usize {
        let value = match along {
            Some(
                Along::Value { put, .. } | Along::Pending { put, .. } | Along::Ended { put: Some(put), .. },
            ) => put.envelope.len(),
            Some(Along::Quarantine { .. } | Along::Ended { put: None, .. }) | None => 0,
        };
        value + TARGET_WEIGHT * (event.targets.len() + entries.len())
    }

    async fn carry_out(
        context: &Context,
        generation: &Generation,
        shard: Shard,
        asks: &[Publication],
    ) -> Answers<Self> {
        publish::step(context, generation.data(), shard, asks.iter()).await
    }
}
