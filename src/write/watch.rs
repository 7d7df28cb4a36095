//! The look at all queues: how much waits, for the metrics; who is there to share them; and what is left in queues of a
//! time when there were more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Shared;
use super::behind::Worker;
use crate::backend::{Backlog, Look, Partition, Survey};
use crate::model::Shard;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// A worker that has not looked for so long is not there.
const GONE: Duration = Duration::from_secs(3);

type Queue = (Shard, Partition);

/// What was seen so far.
#[derive(Default)]
struct Seen<'a> {
    /// Of a shard that cannot be asked, what it said last: nothing is done because nobody can look.
    backlogs: BTreeMap<Shard, Backlog>,
    /// Queues that nobody but this task brings to their end.
    old: BTreeSet<Queue>,
    drains: FuturesUnordered<BoxFuture<'a, Queue>>,
}

/// Looks until the stop.
pub(super) async fn watch(shared: &Arc<Shared>, stop: &CancellationToken) {
    let mut seen = Seen::default();
    while !stop.is_cancelled() {
        look(shared, stop, &mut seen).await;
        let mut pause = std::pin::pin!(sleep(PAUSE));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = seen.drains.next() => {
                    seen.old.remove(&done);
                }
                () = &mut pause => break,
            }
        }
    }
    // Each hands back what it has.
    while seen.drains.next().await.is_some() {}
}

async fn look<'a>(shared: &Arc<Shared>, stop: &'a CancellationToken, seen: &mut Seen<'a>) {
    let partitions = shared.settings.partitions;
    for shard in shared.backend.shards().all() {
        let worker = shared.coherence.member().to_owned();
        let look = Look { beyond: partitions, worker, gone: GONE };
        match shared.backend.survey(shard, look).await {
            Ok(Survey { backlog, beyond, workers }) => {
                shared.shares.send_if_modified(|shares| shares.set(shard, workers, partitions));
                seen.backlogs.insert(shard, backlog);
                for partition in beyond {
                    if seen.old.insert((shard, partition)) {
                        let worker = Worker::new(Arc::clone(shared), shard, partition);
                        let drain = async move {
                            worker.drain(stop).await;
                            (shard, partition)
                        };
                        seen.drains.push(drain.boxed());
                    }
                }
            }
            Err(error) => debug!(error = %error, "nobody knows how many writes wait"),
        }
    }
    let all = seen.backlogs.values().fold(Backlog::default(), |all, of| Backlog {
        pending: all.pending + of.pending,
        oldest: all.oldest.max(of.oldest),
        dead: all.dead + of.dead,
    });
    shared.metrics.pending.set(i64::try_from(all.pending).unwrap_or(i64::MAX));
    shared.metrics.dead.set(i64::try_from(all.dead).unwrap_or(i64::MAX));
    shared.metrics.oldest.set(all.oldest.unwrap_or_default().as_secs_f64());
    *shared.backlog.lock().unwrap_or_else(PoisonError::into_inner) = all;
}
