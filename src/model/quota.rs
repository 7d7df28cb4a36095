//! The words of rate limits: how much a caller may, who it is, and what was decided.

use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// So many requests in so much time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    rate: u32,
    per: Duration,
    burst: u32,
}

impl Quota {
    /// The longest that a caller may need to regain its burst: ten years, which every clock here can count.
    pub const REGAINED_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

    /// `rate` requests per `per`, `burst` of them at once; nothing is taken as one. `None` where the burst would take
    /// longer than [`Self::REGAINED_MAX`] to be regained.
    pub fn new(rate: u32, per: Duration, burst: u32) -> Option<Self> {
        let quota = Self { rate: rate.max(1), per, burst: burst.max(1) };
        let regained = quota.interval().checked_mul(quota.burst)?;
        (regained <= Self::REGAINED_MAX).then_some(quota)
    }

    /// From one request to the next that is regained; at least a nanosecond.
    pub fn interval(&self) -> Duration {
        (self.per / self.rate).max(Duration::from_nanos(1))
    }

    /// Requests at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// How long until a caller that has `left` requests has all of them again, at the most.
    pub fn regained(&self, left: u32) -> Duration {
        self.interval() * self.burst.saturating_sub(left)
    }

    /// The same quota in whole seconds: requests, and the seconds they are for.
    pub fn in_seconds(&self) -> (u64, u64) {
        let window = self.per.as_secs() + u64::from(self.per.subsec_nanos() != 0);
        let requests =
            u128::from(self.rate) * u128::from(window) * 1_000_000_000 / self.per.as_nanos().max(1);
        (u64::try_from(requests).unwrap_or(u64::MAX), window)
    }
}

/// Who is counted: a digest, so that every caller takes the same room and nobody reads a header's value out of Valkey.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId([u8; 16]);

impl CallerId {
    /// Of whatever tells callers apart.
    pub fn of(caller: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(caller).into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// One of its bytes, for spreading callers.
    pub fn spread(self) -> u8 {
        self.0[0]
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass, and so many after it.
    Admitted {
        /// How many more at once.
        left: u32,
    },
    /// It may not.
    Refused {
        /// After so long one may, if the caller sends none meanwhile.
        wait: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(rate: u32, millis: u64, burst: u32) -> Quota {
        Quota::new(rate, Duration::from_millis(millis), burst).unwrap()
    }

    #[test]
    fn a_quota_is_said_in_whole_seconds() {
        for (quota, said) in [
            (quota(100, 60_000, 10), (100, 60)),
            (quota(5, 100, 5), (50, 1)),
            (quota(3, 1500, 3), (4, 2)),
            (quota(1, 24 * 3600 * 1000, 1), (1, 24 * 3600)),
        ] {
            assert_eq!(quota.in_seconds(), said, "{quota:?}");
        }
    }

    #[test]
    fn a_burst_that_nobody_lives_to_regain_is_none() {
        let day = Duration::from_secs(24 * 3600);
        assert!(Quota::new(1, day, 3650).is_some());
        assert!(Quota::new(1, day, 3651).is_none());
        assert!(Quota::new(1, day, u32::MAX).is_none());
        let fastest = Quota::new(u32::MAX, Duration::from_millis(1), 1).unwrap();
        assert_eq!(fastest.interval(), Duration::from_nanos(1));
    }

    #[test]
    fn callers_are_told_apart_and_not_read() {
        let id = CallerId::of(b"secret");
        assert_eq!(id, CallerId::of(b"secret"));
        assert_ne!(id, CallerId::of(b"secret "));
        assert_eq!(id.to_string(), "2bb80d537b1da3e38bd30361aa855686");
    }
}
