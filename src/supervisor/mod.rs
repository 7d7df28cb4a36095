//! The only place where tasks are born: a failure or panic is seen, a stop is waited for, a restart backs off.

mod backoff;
mod signals;
mod stages;
mod status;
mod task;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span, error, warn};

use crate::telemetry::{TaskMetrics, Throttle};
use stages::Stages;
use status::Statuses;

pub use signals::{Hangups, Signals};
pub use stages::Stage;
pub use status::{Board, TaskStatus};

/// What overruns may do so by the thousand.
static OVERRUNS: Throttle = Throttle::new();

/// Why a long-lived task ended.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;
/// How a long-lived task ended. `Ok` before a stop was asked for counts as an early end.
pub type TaskResult = Result<(), TaskError>;

/// Starts, restarts and stops the tasks of one instance. Clones share everything.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    metrics: TaskMetrics,
    stages: Stages,
    statuses: Statuses,
}

impl Supervisor {
    /// Without tasks.
    pub fn new(metrics: TaskMetrics) -> Self {
        Self(Arc::new(Shared { metrics, stages: Stages::default(), statuses: Statuses::default() }))
    }

    /// Starts a long-lived task and keeps it running until its stage is stopped: after an error, a panic or an early
    /// end, `make` makes another, with a growing, jittered pause between. Repeated panics give the task up.
    ///
    /// Several tasks may share a name (one per shard): they are up when all of them are.
    ///
    /// `make` gets a token that is cancelled when the task shall end. Outside a tokio runtime this panics.
    pub fn task<F, T>(&self, stage: Stage, name: &'static str, make: F)
    where
        F: Fn(CancellationToken) -> T + Send + Sync + 'static,
        T: Future<Output = TaskResult> + Send + 'static,
    {
        let entry = self.0.statuses.enter(name, &self.0.metrics);
        let stop = self.0.stages.stopping(stage);
        let run = task::run(name, make, stop, entry, self.clone());
        drop(self.0.stages.spawn(stage, name, run));
    }

    /// Starts short-lived work: a connection, a load. Its stage's stop waits for it; a panic is logged and counted, and
    /// whoever awaits the handle sees it. Dropping the handle does not end the work.
    ///
    /// Once the stage has stopped, the work is aborted before it begins. Outside a tokio runtime this panics.
    pub fn spawn<T>(
        &self,
        stage: Stage,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T>
    where
        T: Send + 'static,
    {
        let supervisor = self.clone();
        let watched = async move {
            AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
                supervisor.0.metrics.panicked(name);
                error!(task = name, "{name} panicked, not restarted");
                std::panic::resume_unwind(panic)
            })
        };
        self.0.stages.spawn(stage, name, watched.instrument(debug_span!("task", task = name)))
    }

    /// Counts and logs work that had not ended by a deadline of its own and was cut off there.
    pub fn overran(&self, name: &'static str, limit: Duration) {
        self.0.metrics.overran(name);
        if let Some(suppressed) = OVERRUNS.pass() {
            warn!(
                task = name,
                limit_ms = limit.as_millis(),
                suppressed,
                "{name} had not ended by its deadline and was cut off"
            );
        }
    }

    /// The token that is cancelled when the stage begins to stop: for short-lived work that can end early.
    pub fn stopping(&self, stage: Stage) -> CancellationToken {
        self.0.stages.stopping(stage)
    }

    /// Asks a stage's tasks to end and waits for them and its short-lived work. What has not ended by the deadline is
    /// aborted, logged and counted; the answer is how many those were.
    pub async fn stop(&self, stage: Stage, deadline: Instant) -> usize {
        self.0.stages.stop(stage, deadline, &self.0.metrics).await
    }

    /// Every long-lived task by name.
    pub fn status(&self) -> Board {
        self.0.statuses.board()
    }

    /// The same, followed.
    pub fn follow(&self) -> watch::Receiver<Board> {
        self.0.statuses.follow()
    }

    /// Waits until a task has been given up and says which: the process should not go on without it.
    pub async fn given_up(&self) -> &'static str {
        self.0.statuses.given_up().await
    }
}

#[cfg(test)]
mod tests;
