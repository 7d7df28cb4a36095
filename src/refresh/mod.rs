//! Refreshes: copies that are still answered are loaded anew before anybody has to wait for that.
//!
//! The read path wishes ([`Wish`]): for a copy that is stale and was answered all the same, or that may soon be. A
//! [`Queue`] a namespace keeps a key once, the hottest first; supervised tasks work it off, so many at a time that the
//! origin has places left for what readers wait for. A refresh is a load like any other: it takes the key's lease, so
//! that one instance makes it for all, and what it brings is kept under the token that came with that lease.

mod queue;

use std::sync::Arc;
use std::time::Duration;

pub use queue::Queue;

use crate::cache::Cache;
#[cfg(doc)]
use crate::cache::Wish;
use crate::guard::share_of;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::labels::RefreshOutcome;

/// Refreshes of a namespace at once, at the most.
const AT_ONCE_MAX: usize = 16;
/// How long a key is left alone that another instance refreshes, or whose new value may not be kept: this, and up
/// to twice as much more, so that instances do not come back together.
const REST: Duration = Duration::from_millis(50);

/// Starts the tasks that work off a namespace's wishes: half as many as its origin takes loads at once, 16 at the most.
pub fn start(
    supervisor: &Supervisor,
    cache: &Arc<Cache>,
    namespace: &str,
    queue: &Arc<Queue>,
    instance: &str,
    max_concurrency: usize,
) {
    for _ in 0..(max_concurrency / 2).clamp(1, AT_ONCE_MAX) {
        let worker = Arc::new(Worker {
            cache: Arc::clone(cache),
            namespace: namespace.to_owned(),
            queue: Arc::clone(queue),
            instance: instance.to_owned(),
        });
        supervisor.task(Stage::Load, "refresh.worker", move |stop| {
            let worker = Arc::clone(&worker);
            async move {
                let _stopped = stop.run_until_cancelled(worker.work()).await;
                Ok(())
            }
        });
    }
}

struct Worker {
    cache: Arc<Cache>,
    namespace: String,
    queue: Arc<Queue>,
    instance: String,
}

impl Worker {
    async fn work(&self) {
        loop {
            let turn = self.queue.next().await;
            let outcome = self.cache.refresh(&self.namespace, &turn.wish).await;
            let share = share_of(&self.instance, &turn.wish.key, self.queue.now());
            turn.rest(rest(outcome, share));
        }
    }
}

/// How long a key is left alone after a refresh; `share` is a part of one that differs between instances.
fn rest(outcome: Option<RefreshOutcome>, share: f64) -> Duration {
    match outcome {
        Some(RefreshOutcome::Busy | RefreshOutcome::Rejected) => REST.mul_f64(1.0 + 2.0 * share),
        // The copy is new; or the read path itself spares an origin that fails.
        None
        | Some(
            RefreshOutcome::Stored
            | RefreshOutcome::NotModified
            | RefreshOutcome::Failed
            | RefreshOutcome::Dropped,
        ) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_rests_where_another_try_would_bring_nothing_and_never_as_long_as_elsewhere() {
        assert_eq!(rest(Some(RefreshOutcome::Busy), 0.0), REST);
        assert_eq!(rest(Some(RefreshOutcome::Rejected), 1.0), 3 * REST);
        assert_eq!(rest(Some(RefreshOutcome::Stored), 1.0), Duration::ZERO);
        assert_eq!(rest(None, 1.0), Duration::ZERO);
    }
}
