//! Limits that all instances count together, and what stands in for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::Limit;
use crate::backend::{Arrival, Backend, BackendError};
use crate::clock::{Boot, Clock};
use crate::model::{CallerId, Verdict};
use crate::telemetry::Throttle;

/// How long a request waits to be counted: its answer must not take much longer for a limit.
const PATIENCE: Duration = Duration::from_millis(250);
/// After it waited in vain, nobody waits for so long.
const PAUSE: Duration = Duration::from_secs(1);

static ALONE: Throttle = Throttle::new();

/// The backend's count, as long as it answers.
pub(super) struct Shared {
    backend: Arc<dyn Backend>,
    clock: Clock,
    /// Until when it is not asked.
    paused_until: AtomicU64,
}

impl Shared {
    pub(super) fn new(backend: Arc<dyn Backend>, clock: Clock) -> Self {
        Self { backend, clock, paused_until: AtomicU64::new(0) }
    }

    /// By the cluster's count; where that is not to be had, by this instance's own.
    pub(super) async fn admit(&self, limit: &Limit, caller: CallerId) -> Verdict {
        // With more callers than this instance remembers, each that it has the backend remember would be one too many
        // there: somebody makes them up.
        if !limit.own.crowded() && self.paused_until.load(Ordering::Relaxed) <= self.clock.now().as_nanos() {
            match self.ask(limit, caller).await {
                Ok(verdict) => {
                    if let Verdict::Admitted { .. } = verdict {
                        limit.own.admit(caller);
                    }
                    return verdict;
                }
                Err(error) => self.pause(limit, &error),
            }
        }
        limit.metrics.limited_alone.inc();
        limit.own.admit(caller)
    }

    async fn ask(&self, limit: &Limit, caller: CallerId) -> Result<Verdict, BackendError> {
        let arrival = Arrival { namespace: &limit.settings.namespace, caller, quota: limit.settings.quota };
        timeout(PATIENCE, self.backend.admit(arrival)).await.unwrap_or(Err(BackendError::TimedOut))
    }

    fn pause(&self, limit: &Limit, error: &BackendError) {
        if let Some(suppressed) = ALONE.pass() {
            let namespace = &limit.settings.namespace;
            warn!(
                error = error as &dyn std::error::Error,
                suppressed,
                "the rate limit of `{namespace}` is not counted by the cluster, this instance decides alone"
            );
        }
        // A refusal comes at once, and so does the absence of a connection.
        if matches!(error, BackendError::TimedOut) {
            let until: Boot = self.clock.now() + PAUSE;
            self.paused_until.fetch_max(until.as_nanos(), Ordering::Relaxed);
        }
    }
}
