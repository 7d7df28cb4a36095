//! What every load and write passes, whatever the kind of origin: the breaker, the concurrency limit and the hard
//! time-out.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{OriginError, WriteError};
use crate::guard::{Breaker, Bulkhead, LeftAlone, Urgency};

/// The longest time-out; a longer one counts as this.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// Below this share of the time-out nothing is begun: places that a hanging origin held become free just before the
/// deadlines of those who queue for them, and each would send a request only to drop it.
const LEAST_SHARE: u32 = 10;
/// Below this share of the time-out a load that ran out of time says nothing against the origin: it waited for its
/// place for most of it.
const FAIR_SHARE: u32 = 2;

/// `origin.breaker`, `origin.max_concurrency` and `origin.timeout`.
#[derive(Debug)]
pub(super) struct Gate {
    timeout: Duration,
    bulkhead: Bulkhead,
    breaker: Arc<Breaker>,
}

/// Why a load or a write brought nothing.
pub(super) trait Setback: From<OriginError> {
    /// What went wrong; `None`: nothing, the origin works and says no.
    fn error(&self) -> Option<&OriginError>;
}

impl Setback for OriginError {
    fn error(&self) -> Option<&OriginError> {
        Some(self)
    }
}

impl Setback for WriteError {
    fn error(&self) -> Option<&OriginError> {
        match self {
            Self::Refused(_) => None,
            Self::Failed { error, .. } => Some(error),
        }
    }
}

/// What a load may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    /// Until when.
    pub(super) deadline: Instant,
    /// Whether it may try more than once.
    pub(super) again: bool,
}

impl Gate {
    pub(super) fn new(timeout: Duration, max_concurrency: usize, breaker: Arc<Breaker>) -> Self {
        Self { timeout: timeout.min(TIMEOUT_MAX), bulkhead: Bulkhead::new(max_concurrency), breaker }
    }

    pub(super) fn bulkhead(&self) -> &Bulkhead {
        &self.bulkhead
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Why nobody is let through now.
    pub(super) fn refuses(&self) -> Option<LeftAlone> {
        self.breaker.refuses()
    }

    /// Waits for a place, then runs `load` until the deadline of both together.
    pub(super) async fn pass<T, E: Setback>(
        &self,
        urgency: Urgency,
        load: impl AsyncFnOnce(Leave) -> Result<T, E>,
    ) -> Result<T, E> {
        // Nobody queues for an origin that is left alone.
        if let Some(left_alone) = self.breaker.refuses() {
            return Err(OriginError::LeftAlone(left_alone).into());
        }
        let deadline = Instant::now() + self.timeout;
        let _place =
            self.bulkhead.enter(deadline, urgency).await.map_err(|_refused| OriginError::Overloaded)?;
        let left = deadline.duration_since(Instant::now());
        if left < self.timeout / LEAST_SHARE {
            return Err(OriginError::Overloaded.into());
        }
        // After the queue: who waited in it while others failed does not go on failing after them.
        let pass = self.breaker.enter().map_err(OriginError::LeftAlone)?;
        let leave = Leave { deadline, again: !pass.is_probe() };
        let result = timeout_at(deadline, load(leave)).await.unwrap_or(Err(OriginError::TimedOut.into()));
        if let Some(works) = works(&result, self.timeout / FAIR_SHARE <= left) {
            pass.tell(works);
        }
        result
    }
}

/// What a load or a write says of the origin; `None`: nothing.
fn works<T, E: Setback>(result: &Result<T, E>, fair: bool) -> Option<bool> {
    match result.as_ref().err().and_then(Setback::error) {
        None | Some(OriginError::Unusable(_)) => Some(true),
        Some(OriginError::Status(status)) => Some(!matches!(status, 408 | 425 | 429 | 500..)),
        Some(OriginError::Failed(_)) => Some(false),
        Some(OriginError::TimedOut) => fair.then_some(false),
        Some(OriginError::Overloaded | OriginError::LeftAlone(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{BreakerSettings, Phase};

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn gate(max_concurrency: usize) -> Gate {
        let (failures, open_for) = (2, Duration::from_secs(5));
        let settings =
            BreakerSettings { target: "origin".to_owned(), failures, open_for, probe_max: TIMEOUT };
        Gate::new(TIMEOUT, max_concurrency, Arc::new(Breaker::new(settings)))
    }

    async fn load(gate: &Gate, result: Result<(), OriginError>) -> Result<(), OriginError> {
        gate.pass(Urgency::default(), async |_| result.clone()).await
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_origin_that_does_not_work_is_left_alone() {
        for (error, opens) in [
            (OriginError::Status(500), true),
            (OriginError::Status(429), true),
            (OriginError::Failed("reset".to_owned()), true),
            (OriginError::Status(403), false),
            (OriginError::Unusable("too long".to_owned()), false),
            (OriginError::Overloaded, false),
        ] {
            let gate = gate(4);
            for _ in 0..2 {
                assert!(load(&gate, Err(error.clone())).await.is_err());
            }
            assert_eq!(gate.breaker.phase() == Phase::Open, opens, "{error:?}");
            let left_alone = matches!(load(&gate, Ok(())).await, Err(OriginError::LeftAlone(_)));
            assert_eq!(left_alone, opens, "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_refused_says_that_the_origin_works_and_one_that_fails_that_it_does_not() {
        let refused = WriteError::Refused("never".to_owned());
        let failed = WriteError::from(OriginError::Status(503));
        for (errors, phase) in [([&failed, &refused], Phase::Closed), ([&failed, &failed], Phase::Open)] {
            let gate = gate(4);
            for error in errors {
                let error = Err::<(), _>(error.clone());
                assert!(gate.pass(Urgency::default(), async |_| error).await.is_err());
            }
            assert_eq!(gate.breaker.phase(), phase);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_for_its_place_and_ran_out_of_time_says_nothing_and_who_had_its_time_does() {
        let gate = gate(1);
        let hang = async |after: Duration| {
            tokio::time::sleep(after).await;
            gate.pass(Urgency::default(), async |_| std::future::pending::<Result<(), OriginError>>().await)
                .await
        };
        let slow = gate.pass(Urgency::default(), async |_| {
            tokio::time::sleep(TIMEOUT * 3 / 4).await;
            Ok::<_, OriginError>(())
        });
        let (slow, short) = tokio::join!(slow, hang(Duration::from_millis(1)));
        assert!(slow.is_ok() && matches!(short, Err(OriginError::TimedOut)));
        assert!(matches!(hang(Duration::ZERO).await, Err(OriginError::TimedOut)));
        assert_eq!(gate.breaker.phase(), Phase::Closed, "one of two counts");
        assert!(matches!(hang(Duration::ZERO).await, Err(OriginError::TimedOut)));
        assert_eq!(gate.breaker.phase(), Phase::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn who_queues_while_others_fail_is_not_let_in_after_them() {
        let gate = gate(2);
        let mut asked = 0;
        let count = std::cell::Cell::new(0);
        let hang = || {
            gate.pass(Urgency::default(), async |_| {
                count.set(count.get() + 1);
                tokio::time::sleep(TIMEOUT / 2).await;
                Err::<(), _>(OriginError::Status(503))
            })
        };
        for outcome in futures_util::future::join_all((0..50).map(|_| hang())).await {
            asked += usize::from(matches!(outcome, Err(OriginError::Status(503))));
        }
        assert_eq!((asked, count.get()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_tries_tries_once() {
        let gate = gate(4);
        for _ in 0..2 {
            assert!(load(&gate, Err(OriginError::Status(500))).await.is_err());
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        let again =
            gate.pass(Urgency::default(), async |leave| Ok::<_, OriginError>(leave.again)).await.unwrap();
        assert!(!again);
        assert!(
            gate.pass(Urgency::default(), async |leave| Ok::<_, OriginError>(leave.again)).await.unwrap()
        );
    }
}
