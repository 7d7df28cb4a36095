//! The one clock of the protocol: `CLOCK_BOOTTIME`, which goes on while the machine is suspended and is never set.

use std::ops::{Add, Sub};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment on this machine, in nanoseconds since it booted. Comparable within one machine only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boot(u64);

impl Boot {
    /// Before every other moment.
    pub const NEVER: Self = Self(0);

    /// From nanoseconds, for a moment kept in an atomic.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds, to keep in an atomic.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long `earlier` is past; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Boot {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Boot {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Where moments come from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's boot clock.
    Boottime,
    /// tokio's clock, which tests pause; it counts from the instant given.
    Tokio(tokio::time::Instant),
}

impl Clock {
    /// tokio's clock, started now at one hour past boot, so that moments before the start exist.
    pub fn tokio() -> Self {
        Self::Tokio(tokio::time::Instant::now() - Duration::from_secs(3600))
    }

    /// Now.
    pub fn now(&self) -> Boot {
        match self {
            Self::Boottime => {
                let now = clock_gettime(ClockId::Boottime);
                let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
                let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
                Boot(seconds * 1_000_000_000 + nanos)
            }
            Self::Tokio(start) => Boot(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}
