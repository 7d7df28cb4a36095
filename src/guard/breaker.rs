//! A circuit breaker: after so many failures in a row a part is left alone for a while, then a single call tries it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

/// When a breaker opens, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// What it stands before, as metrics and logs name it.
    pub target: String,
    /// So many failures in a row open it. 0 is taken as 1.
    pub failures: u32,
    /// How long nothing is let through before one call is.
    pub open_for: Duration,
    /// When that call has ended at the latest. One that says nothing for longer is given up, and another may try.
    pub probe_max: Duration,
}

/// Lets calls through while the part behind it works. Whoever is let through says how it went; of those let through
/// before the breaker last opened, began to try or closed, nobody is heard any more.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
}

/// What a breaker does with the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It lets all through.
    Closed,
    /// It lets one through, or waits for what that one says.
    HalfOpen,
    /// It lets none through.
    Open,
}

/// Nobody is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it failed several times in a row and is left alone for {} ms", .retry_after.as_millis())]
pub struct LeftAlone {
    /// After so long somebody is, to try; or, where somebody tries already, it has ended.
    pub retry_after: Duration,
}

/// A call that was let through. Dropped without a word, it says nothing of the part behind.
#[derive(Debug)]
#[must_use = "the breaker learns from what becomes of the call"]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    epoch: u64,
    probe: bool,
}

#[derive(Debug)]
struct State {
    now: Now,
    /// Counts openings, probes and closings: verdicts of an earlier one are late.
    epoch: u64,
}

#[derive(Clone, Copy, Debug)]
enum Now {
    Closed {
        /// In a row.
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// The call that tries has ended by then; `None` while nobody does.
    HalfOpen {
        probe: Option<Instant>,
    },
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        let settings = BreakerSettings { failures: settings.failures.max(1), ..settings };
        Self { settings, state: Mutex::new(State { now: Now::Closed { failures: 0 }, epoch: 0 }) }
    }

    /// What it stands before.
    pub fn target(&self) -> &str {
        &self.settings.target
    }

    /// Lets a call through, or says when to come back. Whoever is the first after the pause tries for all.
    pub fn enter(&self) -> Result<Pass<'_>, LeftAlone> {
        let mut state = self.state();
        if let Some(left_alone) = refusal(&state.now) {
            return Err(left_alone);
        }
        let probe = !matches!(state.now, Now::Closed { .. });
        if probe {
            debug!(breaker.target = self.target(), "breaker `{}` lets one call through", self.target());
            state.go(Now::HalfOpen { probe: Some(Instant::now() + self.settings.probe_max) });
        }
        Ok(Pass { breaker: self, epoch: state.epoch, probe })
    }

    /// Why [`Self::enter`] would let nobody through now; it changes nothing.
    pub fn refuses(&self) -> Option<LeftAlone> {
        refusal(&self.state().now)
    }

    /// Something else has shown that the part behind it works.
    pub fn close(&self) {
        let mut state = self.state();
        if !matches!(state.now, Now::Closed { .. }) {
            self.closed(&mut state);
        }
    }

    /// As it is now: once the pause is over, the next call is let through.
    pub fn phase(&self) -> Phase {
        match self.state().now {
            Now::Closed { .. } => Phase::Closed,
            Now::Open { until } if Instant::now() < until => Phase::Open,
            Now::Open { .. } | Now::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    fn told(&self, epoch: u64, worked: bool) {
        let mut state = self.state();
        if state.epoch != epoch {
            return;
        }
        match (state.now, worked) {
            (Now::Closed { .. }, true) => state.now = Now::Closed { failures: 0 },
            (Now::Closed { failures }, false) if failures + 1 < self.settings.failures => {
                state.now = Now::Closed { failures: failures + 1 };
            }
            (Now::HalfOpen { .. }, true) => self.closed(&mut state),
            (was, _) => {
                let BreakerSettings { target, failures, open_for, .. } = &self.settings;
                if matches!(was, Now::Closed { .. }) {
                    warn!(
                        breaker.target = target,
                        failures,
                        retry_ms = open_for.as_millis(),
                        "breaker `{target}` is open after failures in a row"
                    );
                } else {
                    debug!(breaker.target = target, "breaker `{target}` stays open, the call failed");
                }
                state.go(Now::Open { until: Instant::now() + *open_for });
            }
        }
    }

    fn closed(&self, state: &mut State) {
        info!(breaker.target = self.target(), "breaker `{}` is closed again", self.target());
        state.go(Now::Closed { failures: 0 });
    }

    /// Whole after every statement.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn go(&mut self, now: Now) {
        *self = Self { now, epoch: self.epoch + 1 };
    }
}

impl Pass<'_> {
    /// It is the one call that tries: it tries once.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// How it went.
    pub fn tell(self, worked: bool) {
        self.breaker.told(self.epoch, worked);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.probe {
            return;
        }
        let mut state = self.breaker.state();
        if state.epoch == self.epoch {
            state.now = Now::HalfOpen { probe: None };
        }
    }
}

fn refusal(now: &Now) -> Option<LeftAlone> {
    let until = match now {
        Now::Closed { .. } | Now::HalfOpen { probe: None } => return None,
        Now::Open { until } | Now::HalfOpen { probe: Some(until) } => *until,
    };
    let retry_after = until.duration_since(Instant::now());
    (!retry_after.is_zero()).then_some(LeftAlone { retry_after })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::advance;

    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(5);
    const PROBE_MAX: Duration = Duration::from_secs(2);

    fn breaker() -> Breaker {
        let target = "it".to_owned();
        Breaker::new(BreakerSettings { target, failures: 3, open_for: OPEN_FOR, probe_max: PROBE_MAX })
    }

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.enter().unwrap().tell(false);
        }
    }

    fn retry_after(breaker: &Breaker) -> Duration {
        breaker.enter().unwrap_err().retry_after
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_others_do_not() {
        let breaker = breaker();
        for _ in 0..10 {
            fail(&breaker, 2);
            breaker.enter().unwrap().tell(true);
        }
        assert_eq!((breaker.phase(), breaker.refuses()), (Phase::Closed, None));
        fail(&breaker, 3);
        assert_eq!((breaker.phase(), retry_after(&breaker)), (Phase::Open, OPEN_FOR));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_is_let_through_and_its_success_lets_all() {
        let breaker = breaker();
        fail(&breaker, 3);
        advance(OPEN_FOR.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(retry_after(&breaker), Duration::from_millis(1));
        advance(Duration::from_millis(1)).await;
        assert_eq!((breaker.phase(), breaker.refuses()), (Phase::HalfOpen, None));
        let probe = breaker.enter().unwrap();
        assert!(probe.is_probe());
        assert_eq!((breaker.phase(), retry_after(&breaker)), (Phase::HalfOpen, PROBE_MAX));
        probe.tell(true);
        assert_eq!(breaker.phase(), Phase::Closed);
        assert!(!breaker.enter().unwrap().is_probe());
        // The count begins anew.
        fail(&breaker, 2);
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_probe_opens_it_for_as_long_again() {
        let breaker = breaker();
        fail(&breaker, 3);
        for _ in 0..4 {
            advance(OPEN_FOR).await;
            fail(&breaker, 1);
            assert_eq!((breaker.phase(), retry_after(&breaker)), (Phase::Open, OPEN_FOR));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_have_no_say() {
        let breaker = breaker();
        let (early, late) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        fail(&breaker, 3);
        early.tell(true);
        assert_eq!(breaker.phase(), Phase::Open);
        advance(OPEN_FOR).await;
        let probe = breaker.enter().unwrap();
        late.tell(false);
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        probe.tell(true);
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_says_nothing_leaves_the_try_to_another() {
        let breaker = breaker();
        fail(&breaker, 3);
        advance(OPEN_FOR).await;
        drop(breaker.enter().unwrap());
        let hanging = breaker.enter().unwrap();
        advance(PROBE_MAX).await;
        let other = breaker.enter().unwrap();
        assert!(other.is_probe());
        // Whatever it still says is late, and so is its going away.
        hanging.tell(true);
        assert_eq!((breaker.phase(), retry_after(&breaker)), (Phase::HalfOpen, PROBE_MAX));
        other.tell(true);
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_else_shows_that_it_works_closes_it() {
        let breaker = breaker();
        fail(&breaker, 3);
        breaker.close();
        assert_eq!(breaker.phase(), Phase::Closed);
        fail(&breaker, 2);
        breaker.close();
        fail(&breaker, 1);
        assert_eq!(breaker.phase(), Phase::Open, "a closed one goes on counting");
    }

    #[test]
    fn of_many_at_once_one_tries() {
        let target = "it".to_owned();
        let settings = BreakerSettings { target, failures: 1, open_for: Duration::ZERO, probe_max: OPEN_FOR };
        let (breaker, probes) = (Arc::new(Breaker::new(settings)), AtomicUsize::new(0));
        fail(&breaker, 1);
        let start = std::sync::Barrier::new(8);
        let tried = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    if let Ok(pass) = breaker.enter() {
                        probes.fetch_add(1, Ordering::Relaxed);
                        tried.lock().unwrap().push(pass);
                    }
                });
            }
        });
        assert_eq!(probes.load(Ordering::Relaxed), 1);
    }
}
