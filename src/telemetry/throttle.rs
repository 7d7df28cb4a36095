//! Keeps a warning that could come thousands of times a second to one a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one through a second and counts the rest. Usable in a `static`.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    passed: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// Lets the first one through.
    pub const fn new() -> Self {
        Self(Mutex::new(State { passed: None, suppressed: 0 }))
    }

    /// Whether to log this one: if so, how many were suppressed since the last that passed.
    pub fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.passed.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.passed = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_second_passes_and_says_how_many_did_not() {
        let throttle = Throttle::new();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!(throttle.pass(), None);
        assert_eq!(throttle.pass(), None);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(throttle.pass(), Some(2));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(throttle.pass(), Some(0));
    }
}
