//! When a task is restarted, and when no more.

use std::collections::VecDeque;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// The first pause, before jitter.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause, jitter included: that at the most doubles it.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A task that ran for so long starts over with the shortest pause.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// So many panics...
const PANICS_MAX: usize = 5;
/// ...within so long give the task up.
const PANICS_WITHIN: Duration = Duration::from_mins(1);

/// The pauses between restarts of one task.
pub(super) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(super) fn new() -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX / 2)
            .without_max_times()
            .with_jitter()
            // Without a seed every instance would draw the same jitter, and all would come back together.
            .with_jitter_seed(rand::random());
        Self(builder.build())
    }

    /// The pause after a run of this length.
    pub(super) fn pause(&mut self, ran: Duration) -> Duration {
        if HEALTHY_AFTER <= ran {
            *self = Self::new();
        }
        self.0.next().unwrap_or(PAUSE_MAX)
    }
}

/// The last panics of one task.
#[derive(Default)]
pub(super) struct Panics(VecDeque<Instant>);

impl Panics {
    /// Notes one; true if that is one too many.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        self.0.retain(|then| now.duration_since(*then) < PANICS_WITHIN);
        self.0.push_back(now);
        PANICS_MAX <= self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_start_over_after_a_healthy_run() {
        let mut backoff = Backoff::new();
        let mut least = PAUSE_MIN;
        for _ in 0..20 {
            let pause = backoff.pause(Duration::ZERO);
            assert!(least <= pause && pause <= 2 * least, "{pause:?} is not within once and twice {least:?}");
            assert!(pause <= PAUSE_MAX);
            least = (2 * least).min(PAUSE_MAX / 2);
        }
        assert!(backoff.pause(HEALTHY_AFTER) <= 2 * PAUSE_MIN);
    }

    #[test]
    fn two_tasks_do_not_draw_the_same_jitter() {
        let pauses = |mut backoff: Backoff| [(); 4].map(|()| backoff.pause(Duration::ZERO));
        assert_ne!(pauses(Backoff::new()), pauses(Backoff::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn only_panics_close_together_are_too_many() {
        let mut panics = Panics::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            assert!(!panics.note(now));
            now += PANICS_WITHIN / 4;
        }
        let mut panics = Panics::default();
        let noted: Vec<_> = (0..PANICS_MAX).map(|_| panics.note(now)).collect();
        assert_eq!(noted, [false, false, false, false, true]);
    }
}
