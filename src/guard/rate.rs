//! The rate limit of one instance: governor's GCRA over a bounded number of callers.

use std::num::NonZeroU32;

use governor::RateLimiter;
use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;

use super::callers::{Callers, Since};
use crate::clock::Clock;
use crate::model::{CallerId, Quota, Verdict};

/// So many requests of each caller, in this process.
#[derive(Debug)]
pub struct RateLimit {
    limiter: RateLimiter<CallerId, Callers, Since, StateInformationMiddleware>,
    callers: Callers,
}

impl RateLimit {
    /// A limit that nobody has spent anything of.
    pub fn new(quota: Quota, clock: Clock) -> Self {
        let since = Since::new(clock);
        let callers = Callers::new(since.clone());
        let limiter = RateLimiter::new(in_governors_terms(quota), callers.clone(), since);
        Self { limiter, callers }
    }

    /// Counts a request, or refuses it; a refused one costs nothing.
    pub fn admit(&self, caller: CallerId) -> Verdict {
        match self.limiter.check_key(&caller) {
            Ok(snapshot) => Verdict::Admitted { left: snapshot.remaining_burst_capacity() },
            Err(until) => Verdict::Refused { wait: until.wait_time_from(self.limiter.clock().now()) },
        }
    }

    /// More callers than are remembered owe something at once, or did a moment ago: some were forgiven what they owed.
    pub fn crowded(&self) -> bool {
        self.callers.crowded()
    }
}

fn in_governors_terms(quota: Quota) -> governor::Quota {
    let burst = NonZeroU32::new(quota.burst()).unwrap_or(NonZeroU32::MIN);
    let each = governor::Quota::with_period(quota.interval());
    each.expect("an interval is never zero").allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn limit(rate: u32, per: Duration, burst: u32) -> RateLimit {
        RateLimit::new(Quota::new(rate, per, burst).unwrap(), Clock::tokio())
    }

    fn refused(limit: &RateLimit, caller: CallerId) -> Option<Duration> {
        match limit.admit(caller) {
            Verdict::Admitted { .. } => None,
            Verdict::Refused { wait } => Some(wait),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_105_at_once_5_are_refused_and_the_wait_is_true() {
        let limit = limit(100, Duration::from_secs(60), 100);
        let (one, other) = (CallerId::of(b"one"), CallerId::of(b"other"));
        for left in (0..100).rev() {
            assert_eq!(limit.admit(one), Verdict::Admitted { left });
        }
        for _ in 0..5 {
            assert_eq!(refused(&limit, one), Some(Duration::from_millis(600)));
        }
        assert_eq!(refused(&limit, other), None);
        tokio::time::advance(Duration::from_millis(599)).await;
        assert_eq!(refused(&limit, one), Some(Duration::from_millis(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(limit.admit(one), Verdict::Admitted { left: 0 });
        assert_eq!(refused(&limit, one), Some(Duration::from_millis(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_extremes_of_the_configuration_are_counted() {
        let day = Duration::from_secs(24 * 3600);
        for (rate, per, burst) in
            [(1, day, 3650), (1_000_000_000, Duration::from_millis(1), 1_000_000_000), (1, day, 1)]
        {
            let limit = limit(rate, per, burst);
            assert_eq!(refused(&limit, CallerId::of(b"c")), None, "{rate} {per:?} {burst}");
        }
    }

    proptest! {
        #[test]
        fn waiting_as_long_as_told_is_enough_and_no_shorter_time_is(
            rate in 1u32..1000, millis in 1u64..10_000, burst in 1u32..50, steps in prop::collection::vec(0u64..200, 1..100),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let limit = limit(rate, Duration::from_millis(millis), burst);
                let caller = CallerId::of(b"c");
                for step in steps {
                    if let Some(wait) = refused(&limit, caller) {
                        let early = wait.saturating_sub(Duration::from_nanos(1));
                        tokio::time::advance(early).await;
                        prop_assert!(early.is_zero() || refused(&limit, caller).is_some());
                        tokio::time::advance(Duration::from_nanos(1)).await;
                        prop_assert_eq!(refused(&limit, caller), None);
                    }
                    tokio::time::advance(Duration::from_millis(step)).await;
                }
                Ok(())
            })?;
        }
    }
}
