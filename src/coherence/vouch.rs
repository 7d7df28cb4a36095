//! The task that says, where the server is another one, what this instance has seen on the one before: with that, what
//! is held in L2 may be kept. Only where `coherence.on_failover` is `verify`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::core::Memory;
use super::shared::Shared;
use crate::backend::{Judged, Testimony};
use crate::model::Shard;

/// What a lineage that ended has left, on its way to whoever tells it.
pub(super) type Left = (Shard, Memory);

/// Shards whose lineages end at once.
pub(super) const LEFT_MAX: usize = 1024;
/// Between two attempts, and for how long: by then the server has decided without it.
const AGAIN: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(shared: Arc<Shared>, left: &mut mpsc::Receiver<Left>, stop: CancellationToken) {
    while let Some(Some((shard, memory))) = stop.run_until_cancelled(left.recv()).await {
        let until = Instant::now() + PATIENCE;
        while stop.run_until_cancelled(tell(&shared, shard, &memory)).await == Some(false)
            && Instant::now() < until
        {
            sleep(AGAIN).await;
        }
    }
}

/// Whether that is done with.
async fn tell(shared: &Shared, shard: Shard, memory: &Memory) -> bool {
    let lineage = memory.lineage().clone();
    let mut testimony =
        Testimony { instance: shared.member.clone(), lineage, seen: memory.seen(), told: None };
    let mut verdict = shared.backend.testify(shard, testimony.clone()).await;
    if let Ok(Judged::Wanted(after)) = verdict {
        testimony.told = Some(memory.after(after));
        verdict = shared.backend.testify(shard, testimony).await;
    }
    match verdict {
        Ok(Judged::None) => {}
        Ok(verdict) => info!(shard = shard.0, ?verdict, "said what was seen on the server before"),
        Err(error) => {
            debug!(shard = shard.0, error = %error, "what was seen on the server before was not said");
            return false;
        }
    }
    true
}
