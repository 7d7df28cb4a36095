//! The stages that an instance is stopped in, and the work that each has under way.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::telemetry::TaskMetrics;

/// How long aborted work may take to be dropped before the next stage stops regardless.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// What stops together. The order is that of an orderly stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Listeners and connections.
    Door,
    /// Loads and refreshes.
    Load,
    /// Writes on their way to the origin.
    Write,
    /// Following and announcing events, membership.
    Coherence,
    /// Connections to what instances share.
    Backend,
}

#[derive(Debug, Default)]
pub(super) struct Stages([StageState; 5]);

#[derive(Debug, Default)]
struct StageState {
    stop: CancellationToken,
    tracker: TaskTracker,
    work: Arc<Mutex<Work>>,
}

/// What a stage has under way. Its size is that of what callers let in: connections, loads, both limited there.
#[derive(Debug, Default)]
struct Work {
    next: u64,
    /// Without a handle while the work is being spawned.
    running: HashMap<u64, (&'static str, Option<AbortHandle>)>,
    /// The deadline has passed: what is handed in now does not begin.
    stopped: bool,
}

impl Stages {
    pub(super) fn stopping(&self, stage: Stage) -> CancellationToken {
        self.0[stage as usize].stop.clone()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where tasks are born")]
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        stage: Stage,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let here = &self.0[stage as usize];
        let entry = Entry::new(&here.work, name);
        let id = entry.id;
        // Not under the lock: a runtime that shuts down drops the future, and with it the entry, right here.
        let handle = tokio::spawn(here.tracker.track_future(async move {
            let _entry = entry;
            future.await
        }));
        let mut work = lock(&here.work);
        if work.stopped {
            handle.abort();
        } else if let Some((_, abort)) = work.running.get_mut(&id) {
            *abort = Some(handle.abort_handle());
        }
        handle
    }

    pub(super) async fn stop(&self, stage: Stage, deadline: Instant, metrics: &TaskMetrics) -> usize {
        let here = &self.0[stage as usize];
        here.stop.cancel();
        here.tracker.close();
        let in_time = timeout_at(deadline, here.tracker.wait()).await.is_ok();
        let overrun: Vec<_> = {
            let mut work = lock(&here.work);
            work.stopped = true;
            work.running.drain().map(|(_, running)| running).collect()
        };
        for (name, abort) in &overrun {
            warn!(task = name, "{name} has not ended by the deadline of its stop, aborted");
            metrics.overran(name);
            if let Some(abort) = abort {
                abort.abort();
            }
        }
        if !in_time && timeout(ABORT_GRACE, here.tracker.wait()).await.is_err() {
            warn!("aborted work of stage {stage:?} does not yield, going on without it");
        }
        overrun.len()
    }
}

/// Takes work off the list when it ends, however it does.
struct Entry {
    id: u64,
    work: Arc<Mutex<Work>>,
}

impl Entry {
    fn new(list: &Arc<Mutex<Work>>, name: &'static str) -> Self {
        let mut work = lock(list);
        let id = work.next;
        work.next += 1;
        if !work.stopped {
            work.running.insert(id, (name, None));
        }
        Self { id, work: Arc::clone(list) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.work).running.remove(&self.id);
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}
