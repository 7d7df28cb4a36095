//! One long-lived task: run, judged by how it ended, run again.

use std::error::Error as StdError;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info_span, warn};

use super::backoff::{Backoff, Panics};
use super::status::TaskEntry;
use super::{Supervisor, TaskError, TaskResult};

/// How one run ended.
enum End {
    Early,
    Failed(TaskError),
    Panicked,
}

pub(super) async fn run<F, T>(
    name: &'static str,
    make: F,
    stop: CancellationToken,
    entry: TaskEntry,
    supervisor: Supervisor,
) where
    F: Fn(CancellationToken) -> T + Send + Sync,
    T: Future<Output = TaskResult> + Send,
{
    restart(name, make, stop, entry, supervisor).instrument(info_span!("task", task = name)).await;
}

async fn restart<F, T>(
    name: &'static str,
    make: F,
    stop: CancellationToken,
    mut entry: TaskEntry,
    supervisor: Supervisor,
) where
    F: Fn(CancellationToken) -> T + Send + Sync,
    T: Future<Output = TaskResult> + Send,
{
    let mut backoff = Backoff::new();
    let mut panics = Panics::default();
    while !stop.is_cancelled() {
        let started = Instant::now();
        entry.up();
        let end = once(&make, stop.child_token()).await;
        entry.down();
        let given_up = matches!(end, End::Panicked) && {
            supervisor.0.metrics.panicked(name);
            panics.note(Instant::now())
        };
        if stop.is_cancelled() {
            log_last(name, end);
            return;
        }
        if given_up {
            error!("{name} panicked too often, given up");
            entry.given_up();
            return;
        }
        let pause = backoff.pause(started.elapsed());
        log_restart(name, end, u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        if stop.run_until_cancelled(sleep(pause)).await.is_some() {
            entry.restarted();
        }
    }
}

async fn once<F, T>(make: &F, stop: CancellationToken) -> End
where
    F: Fn(CancellationToken) -> T + Send + Sync,
    T: Future<Output = TaskResult> + Send,
{
    // What a panic leaves half done is dropped with the future; shared state guards itself.
    match AssertUnwindSafe(async { make(stop).await }).catch_unwind().await {
        Ok(Ok(())) => End::Early,
        Ok(Err(error)) => End::Failed(error),
        Err(_panic) => End::Panicked,
    }
}

fn log_restart(name: &str, end: End, retry_ms: u64) {
    match end {
        End::Early => warn!(retry_ms, "{name} ended early, restarting"),
        End::Failed(error) => {
            warn!(retry_ms, error = &*error as &dyn StdError, "{name} failed, restarting");
        }
        End::Panicked => error!(retry_ms, "{name} panicked, restarting"),
    }
}

fn log_last(name: &str, end: End) {
    match end {
        End::Early => debug!("{name} has stopped"),
        End::Failed(error) => {
            warn!(error = &*error as &dyn StdError, "{name} failed while it was stopping");
        }
        End::Panicked => error!("{name} panicked while it was stopping"),
    }
}
