//! The callers that a rate limit remembers: a bounded number, however many different ones are made up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::clock::{Boot, Clock};
use crate::model::CallerId;

/// Parts that are locked by themselves.
const PARTS: usize = 64;
/// Callers that are remembered in one part. In all, they take about three megabytes.
const PART_MAX: usize = 1024;
/// Forgotten at once where room is needed: a look at all callers serves so many of them.
const EVICTED: usize = PART_MAX / 8;
/// After a caller was forgotten too early, so long nobody new should be remembered elsewhere.
const CROWDED: Duration = Duration::from_secs(1);

/// Moments as governor takes them: since the limit was made.
#[derive(Clone, Debug)]
pub(super) struct Since {
    clock: Clock,
    start: Boot,
}

impl Since {
    pub(super) fn new(clock: Clock) -> Self {
        Self { start: clock.now(), clock }
    }
}

impl GovernorClock for Since {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.clock.now().since(self.start).into()
    }
}

/// When each caller will have regained all it spent. Whoever has is as good as unknown and goes first where room is
/// needed, then those who are nearest to it: the least is forgiven.
/// A handle: clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Callers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Since,
    parts: Vec<Mutex<HashMap<CallerId, Nanos>>>,
    crowded_until: AtomicU64,
}

impl Callers {
    pub(super) fn new(clock: Since) -> Self {
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        Self(Arc::new(Shared { clock, parts, crowded_until: AtomicU64::new(0) }))
    }

    /// More callers than are remembered owe something at once, or did a moment ago.
    pub(super) fn crowded(&self) -> bool {
        self.0.clock.now().as_u64() < self.0.crowded_until.load(Ordering::Relaxed)
    }

    fn make_room(&self, part: &mut HashMap<CallerId, Nanos>) {
        let now = self.0.clock.now();
        part.retain(|_, regained| now < *regained);
        if part.len() < PART_MAX {
            return;
        }
        let until = now + CROWDED;
        self.0.crowded_until.fetch_max(until.as_u64(), Ordering::Relaxed);
        let mut ends: Vec<Nanos> = part.values().copied().collect();
        let (_, last, _) = ends.select_nth_unstable(EVICTED - 1);
        let mut left = EVICTED;
        part.retain(|_, regained| {
            let stays = left == 0 || *last < *regained;
            left -= usize::from(!stays);
            stays
        });
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.parts.iter().map(|part| part.lock().unwrap().len()).sum()
    }
}

impl StateStore for Callers {
    type Key = CallerId;

    fn measure_and_replace<T, F, E>(&self, caller: &CallerId, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // What is kept is whole after every statement, whoever panicked.
        let mut part =
            self.0.parts[usize::from(caller.spread()) % PARTS].lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, regained) = decide(part.get(caller).copied())?;
        if PART_MAX <= part.len() && !part.contains_key(caller) {
            self.make_room(&mut part);
        }
        part.insert(*caller, regained);
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(callers: &Callers, name: &str, for_ms: u64) -> bool {
        let regained = callers.0.clock.now() + Duration::from_millis(for_ms);
        callers
            .measure_and_replace(&CallerId::of(name.as_bytes()), |known| {
                Ok::<_, ()>((known.is_some(), regained))
            })
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_come_a_bounded_number_is_remembered() {
        let callers = Callers::new(Since::new(Clock::tokio()));
        for number in 0..100_000 {
            spend(&callers, &number.to_string(), 1000);
        }
        let kept = callers.len();
        assert!((PARTS * (PART_MAX - EVICTED)..=PARTS * PART_MAX).contains(&kept), "{kept}");
        assert!(callers.crowded());
    }

    #[tokio::test(start_paused = true)]
    async fn who_owes_the_most_is_remembered_longest() {
        let callers = Callers::new(Since::new(Clock::tokio()));
        spend(&callers, "debtor", 60_000);
        for number in 0..200_000 {
            spend(&callers, &number.to_string(), 1000);
        }
        assert!(spend(&callers, "debtor", 60_000));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_regained_all_makes_room_and_nobody_is_crowded_out() {
        let callers = Callers::new(Since::new(Clock::tokio()));
        for round in 0..10 {
            for number in 0..PARTS * PART_MAX / 2 {
                spend(&callers, &format!("{round}.{number}"), 1000);
            }
            tokio::time::advance(Duration::from_millis(1001)).await;
        }
        assert!(!callers.crowded());
        assert!(callers.len() <= PARTS * PART_MAX);
    }
}
