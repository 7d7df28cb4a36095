//! The read barrier of strict reads: one question about the head in flight serves every request that arrived before it
//! was sent. Whoever arrives meanwhile is served by the next.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::backend::{BackendError, Token};
use crate::model::Shard;

/// Strict reads that may wait for the next question.
pub(super) const WAITING_MAX: usize = 16_384;

/// A strict read that wants to know the head as of now or later.
pub(super) type Asked = oneshot::Sender<Result<Token, BackendError>>;

/// Answers one shard's strict reads, until stopped.
pub(super) async fn run(
    shared: Arc<Shared>,
    shard: Shard,
    asked: &mut mpsc::Receiver<Asked>,
    stop: CancellationToken,
) {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            count = asked.recv_many(&mut waiting, WAITING_MAX) => if count == 0 { return },
        }
        let head = shared.backend.head(shard).await;
        for reader in waiting.drain(..) {
            // A reader that went away wants no answer.
            drop(reader.send(head.clone()));
        }
    }
}
