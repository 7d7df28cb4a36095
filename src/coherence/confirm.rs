//! Tells publishers that wait how far this instance has come: one confirmation under way, the next says all since.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::shared::Shared;
use crate::model::Shard;

/// Confirms one shard's events as they are asked for, until stopped.
pub(super) async fn run(shared: Arc<Shared>, shard: Shard, stop: CancellationToken) {
    let state = shared.shard(shard);
    let mut asked = state.to_confirm.subscribe();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = asked.changed() => if changed.is_err() { return },
        }
        asked.mark_unchanged();
        // Everything up to the cursor is marked, whatever was asked for.
        if let Err(error) = shared.backend.confirm(shard, &shared.member, state.view.cursor()).await {
            debug!(shard = shard.0, error = %error, "a confirmation was not delivered, the publisher waits longer");
        }
    }
}
