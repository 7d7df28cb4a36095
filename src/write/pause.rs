//! How long a write that failed waits before it is tried again.

use std::time::Duration;

use super::Settings;
use crate::origin::OriginError;

/// The pause after so many attempts in vain: twice as long each time up to the longest, half to one and a half of it by
/// `share`, a part of one. What the origin asks for is waited at least.
pub(super) fn after(
    settings: &Settings,
    attempts: u32,
    error: &OriginError,
    asked: Option<Duration>,
    share: f64,
) -> Duration {
    let doubled = settings.initial.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let pause = doubled.min(settings.max).mul_f64(0.5 + share);
    let asked = match error {
        OriginError::LeftAlone(left_alone) => Some(left_alone.retry_after),
        _ => asked,
    };
    // However long it asks for, it is looked at again.
    pause.max(asked.unwrap_or_default().min(settings.max.max(pause)))
}

/// The longest that a write waits, whoever parks it.
pub(super) fn longest(settings: &Settings) -> Duration {
    settings.max.mul_f64(1.5).max(settings.takeover)
}

/// Whether the origin was asked at all: else the attempt does not count.
pub(super) fn was_asked(error: &OriginError) -> bool {
    !matches!(error, OriginError::LeftAlone(_) | OriginError::Overloaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::LeftAlone;

    fn settings() -> Settings {
        Settings {
            partitions: 1,
            batch: 1,
            takeover: Duration::from_secs(10),
            backlog_max: 1,
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            attempts: 10,
            grace: Duration::ZERO,
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        let failed = OriginError::Status(500);
        let of = |attempts, share| after(&settings(), attempts, &failed, None, share).as_millis();
        assert_eq!((of(1, 0.5), of(2, 0.5), of(3, 0.5), of(30, 0.5)), (100, 200, 400, 30_000));
        assert_eq!((of(1, 0.0), of(1, 1.0)), (50, 150));
        assert_eq!(of(30, 1.0), longest(&settings()).as_millis());
    }

    #[test]
    fn what_the_origin_asks_for_is_waited_and_never_longer_than_the_longest() {
        let of = |error: &OriginError, asked| after(&settings(), 1, error, asked, 0.5).as_secs();
        assert_eq!(of(&OriginError::Status(503), Some(Duration::from_secs(7))), 7);
        assert_eq!(of(&OriginError::Status(503), Some(Duration::from_secs(700))), 30);
        let left_alone = OriginError::LeftAlone(LeftAlone { retry_after: Duration::from_secs(5) });
        assert_eq!(of(&left_alone, None), 5);
        assert!(!was_asked(&left_alone) && !was_asked(&OriginError::Overloaded));
        assert!(was_asked(&OriginError::TimedOut));
    }
}
