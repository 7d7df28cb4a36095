//! What the moment of an event says of an answer that had not seen it.

use std::time::Duration;

/// By how much the server's clock may be misjudged here, and how far timers are off.
const SLACK: Duration = Duration::from_millis(50);

/// When the event was logged, as the reader met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// After the reader came, who was answered as of then.
    Later,
    /// Before, by less than `max_staleness`: what is promised.
    Within,
    /// Before, by more.
    Beyond,
}

/// Of an event logged at `at_us` and a reader who came at `came_us`, both by the server's clock, in microseconds.
pub(super) fn verdict(at_us: u64, came_us: u64, max_staleness: Duration) -> Verdict {
    let earlier = Duration::from_micros(came_us.saturating_sub(at_us));
    if earlier.is_zero() {
        Verdict::Later
    } else if earlier <= max_staleness + SLACK {
        Verdict::Within
    } else {
        Verdict::Beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_logged_long_before_breaks_the_promise() {
        let bound = Duration::from_secs(2);
        let of = |at, came| verdict(at, came, bound);
        assert_eq!(of(1_000_000, 1_000_000), Verdict::Later);
        assert_eq!(of(1_000_001, 1_000_000), Verdict::Later);
        assert_eq!(of(1_000_000, 1_000_001), Verdict::Within);
        assert_eq!(of(1_000_000, 3_050_000), Verdict::Within);
        assert_eq!(of(1_000_000, 3_050_001), Verdict::Beyond);
        assert_eq!(of(u64::MAX, 0), Verdict::Later);
        assert_eq!(of(0, u64::MAX), Verdict::Beyond);
    }
}
