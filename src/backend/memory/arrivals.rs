//! Who has spent how much of a limit of all instances: GCRA. Pure: time is an argument.

use std::time::Duration;

use super::expiring::Expiring;
use crate::backend::Arrival;
use crate::model::{CallerId, Namespace, Verdict};

/// Most callers; beyond it those who have regained nearly all they spent are forgotten.
const CALLERS_MAX: usize = 1_000_000;
const MILLISECOND: u64 = 1_000_000;

/// When each caller will have regained all it spent, in nanoseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Arrivals(Expiring<(Namespace, CallerId), u64>);

impl Arrivals {
    pub(super) fn new() -> Self {
        Self(Expiring::new(CALLERS_MAX))
    }

    /// Counts a request at `now`, in milliseconds since 1970, or refuses it.
    pub(super) fn admit(&mut self, now: u64, arrival: Arrival<'_>) -> Verdict {
        let Arrival { namespace, caller, quota } = arrival;
        let who = (namespace.clone(), caller);
        let at = now.saturating_mul(MILLISECOND);
        let (interval, burst) = (nanos(quota.interval()), u64::from(quota.burst()));
        let capacity = interval.saturating_mul(burst);
        // A quota that was larger, or a clock that was set back, has nobody wait longer than this one's burst takes.
        let known = self.0.get(now, &who).map_or(at, |item| item.value.min(at.saturating_add(capacity)));
        let regained = known.max(at).saturating_add(interval);
        match regained.checked_sub(at.saturating_add(capacity)) {
            Some(wait) if 0 < wait => Verdict::Refused { wait: Duration::from_nanos(wait) },
            _ => {
                self.0.insert(now, who, (regained, regained.div_ceil(MILLISECOND)), 1);
                let left = (at + capacity - regained) / interval;
                Verdict::Admitted { left: u32::try_from(left).unwrap_or(u32::MAX) }
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Quota;

    fn admit(arrivals: &mut Arrivals, now: u64, quota: (u32, u64, u32)) -> Result<u32, u64> {
        let quota = Quota::new(quota.0, Duration::from_millis(quota.1), quota.2).unwrap();
        let namespace = Namespace::new("users").unwrap();
        let arrival = Arrival { namespace: &namespace, caller: CallerId::of(b"c"), quota };
        match arrivals.admit(now, arrival) {
            Verdict::Admitted { left } => Ok(left),
            Verdict::Refused { wait } => Err(u64::try_from(wait.as_millis()).unwrap()),
        }
    }

    #[test]
    fn a_burst_is_spent_and_regained_one_by_one() {
        let mut arrivals = Arrivals::new();
        let quota = (3, 300, 2);
        let steps = [
            (1000, Ok(1)),
            (1000, Ok(0)),
            (1000, Err(100)),
            (1099, Err(1)),
            (1100, Ok(0)),
            (1100, Err(100)),
            (1250, Ok(0)),
            (1250, Err(50)),
            (1500, Ok(1)),
            (9000, Ok(1)),
        ];
        for (now, expected) in steps {
            assert_eq!(admit(&mut arrivals, now, quota), expected, "at {now}");
        }
    }

    #[test]
    fn a_quota_that_was_larger_keeps_nobody_waiting_longer_than_this_one_does() {
        let mut arrivals = Arrivals::new();
        for left in (0..100).rev() {
            assert_eq!(admit(&mut arrivals, 1000, (1, 3_600_000, 100)), Ok(left));
        }
        assert_eq!(admit(&mut arrivals, 1000, (1, 100, 2)), Err(100));
        assert_eq!(admit(&mut arrivals, 1100, (1, 100, 2)), Err(100), "as long as nothing was counted");
        assert_eq!(admit(&mut arrivals, 1000, (1, 3_600_000, 200)), Ok(99));
    }
}
