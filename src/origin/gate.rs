//! What every load passes, whatever the kind of origin: the concurrency limit and the hard time-out.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::OriginError;
use crate::guard::{Bulkhead, Urgency};

/// The longest time-out; a longer one counts as this.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// Below this share of the time-out nothing is begun: places that a hanging origin held become free just before the
/// deadlines of those who queue for them, and each would send a request only to drop it.
const LEAST_SHARE: u32 = 10;

/// `origin.max_concurrency` and `origin.timeout`.
#[derive(Debug)]
pub(super) struct Gate {
    timeout: Duration,
    bulkhead: Bulkhead,
}

impl Gate {
    pub(super) fn new(timeout: Duration, max_concurrency: usize) -> Self {
        Self { timeout: timeout.min(TIMEOUT_MAX), bulkhead: Bulkhead::new(max_concurrency) }
    }

    pub(super) fn bulkhead(&self) -> &Bulkhead {
        &self.bulkhead
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits for a place, then runs `load`, which is told the deadline of both together.
    pub(super) async fn pass<T>(
        &self,
        urgency: Urgency,
        load: impl AsyncFnOnce(Instant) -> Result<T, OriginError>,
    ) -> Result<T, OriginError> {
        let deadline = Instant::now() + self.timeout;
        let _place =
            self.bulkhead.enter(deadline, urgency).await.map_err(|_refused| OriginError::Overloaded)?;
        if deadline.duration_since(Instant::now()) < self.timeout / LEAST_SHARE {
            return Err(OriginError::Overloaded);
        }
        timeout_at(deadline, load(deadline)).await.unwrap_or(Err(OriginError::TimedOut))
    }
}
