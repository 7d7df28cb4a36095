//! One namespace's wishes: bounded, a key once, the hottest first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::cache::{Refreshers, Wish, Wished};
use crate::clock::{Boot, Clock};
use crate::guard::Urgency;
use crate::model::Key;
use crate::telemetry::IntGauge;

/// Keys that may wait.
const WAITING_MAX: usize = 4096;
/// Keys that are known at all: waiting, being refreshed, or left alone for a while.
const KNOWN_MAX: usize = 2 * WAITING_MAX;

/// The queue.
pub struct Queue {
    state: Mutex<State>,
    ready: Notify,
    clock: Clock,
    depth: IntGauge,
}

#[derive(Default)]
struct State {
    known: HashMap<Key, Phase>,
    /// By what its time of arrival would be without a head start, then in order of arrival.
    waiting: BTreeMap<(Boot, u64), Wish>,
    arrivals: u64,
}

/// What is going on with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    UnderWay,
    /// Refreshing it would bring nothing before this moment.
    Resting(Boot),
}

/// A wish whose turn has come. However its refresh ends, the key may be wished for again when this is dropped.
pub(super) struct Turn<'a> {
    pub(super) wish: Wish,
    queue: &'a Queue,
    rest: Duration,
}

impl Queue {
    /// An empty queue that shows its length in `depth`.
    pub fn new(clock: Clock, depth: IntGauge) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), clock, depth }
    }

    /// The hottest wish, waiting for one. Several may call it.
    pub(super) async fn next(&self) -> Turn<'_> {
        loop {
            let ready = self.ready.notified();
            if let Some(wish) = self.take() {
                return Turn { wish, queue: self, rest: Duration::ZERO };
            }
            ready.await;
        }
    }

    pub(super) fn now(&self) -> Boot {
        self.clock.now()
    }

    fn take(&self) -> Option<Wish> {
        let mut state = self.lock();
        let wish = state.take();
        let left = state.waiting.len();
        drop(state);
        self.show(left);
        if left != 0 {
            // One notice is kept, however many wishes came: whoever takes one passes it on.
            self.ready.notify_one();
        }
        wish
    }

    fn show(&self, waiting: usize) {
        self.depth.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refreshers for Queue {
    fn wish(&self, wish: Wish) -> Wished {
        let mut state = self.lock();
        let wished = state.wish(wish, self.clock.now());
        let waiting = state.waiting.len();
        drop(state);
        if wished == Wished::Taken {
            self.show(waiting);
            self.ready.notify_one();
        }
        wished
    }
}

impl Turn<'_> {
    /// The key is left alone for so long.
    pub(super) fn rest(mut self, pause: Duration) {
        self.rest = pause;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = self.queue.clock.now();
        self.queue.lock().end(&self.wish.key, now, self.rest);
    }
}

impl State {
    fn wish(&mut self, wish: Wish, now: Boot) -> Wished {
        match self.known.get(&wish.key) {
            Some(Phase::Resting(until)) if *until <= now => {}
            Some(_) => return Wished::Known,
            None if KNOWN_MAX <= self.known.len() => {
                self.known.retain(|_, phase| !matches!(phase, Phase::Resting(until) if *until <= now));
                if KNOWN_MAX <= self.known.len() {
                    return Wished::Full;
                }
            }
            None => {}
        }
        if WAITING_MAX <= self.waiting.len() {
            return Wished::Full;
        }
        let place = (now - Urgency::of(wish.heat, false).head_start(), self.arrivals);
        self.arrivals += 1;
        self.known.insert(wish.key.clone(), Phase::Waiting);
        self.waiting.insert(place, wish);
        Wished::Taken
    }

    fn take(&mut self) -> Option<Wish> {
        let (_, wish) = self.waiting.pop_first()?;
        self.known.insert(wish.key.clone(), Phase::UnderWay);
        Some(wish)
    }

    fn end(&mut self, key: &Key, now: Boot, rest: Duration) {
        if rest.is_zero() {
            self.known.remove(key);
        } else {
            self.known.insert(key.clone(), Phase::Resting(now + rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wish(key: &str, heat: u16) -> Wish {
        Wish { key: Key::new(key).unwrap(), heat, ahead: None }
    }

    fn at(seconds: u64) -> Boot {
        Boot::NEVER + Duration::from_secs(seconds)
    }

    fn order(state: &mut State) -> Vec<String> {
        std::iter::from_fn(|| state.take()).map(|wish| wish.key.to_string()).collect()
    }

    #[test]
    fn a_key_waits_once_and_again_only_when_its_refresh_has_ended() {
        let mut state = State::default();
        assert_eq!(state.wish(wish("k", 1), at(10)), Wished::Taken);
        assert_eq!(state.wish(wish("k", 9), at(10)), Wished::Known);
        let taken = state.take().unwrap();
        assert_eq!(state.wish(wish("k", 1), at(11)), Wished::Known, "it is being refreshed");
        state.end(&taken.key, at(12), SECOND);
        assert_eq!(state.wish(wish("k", 1), at(12)), Wished::Known, "it rests");
        assert_eq!(state.wish(wish("k", 1), at(13)), Wished::Taken);
        let taken = state.take().unwrap();
        state.end(&taken.key, at(14), Duration::ZERO);
        assert!(state.known.is_empty());
    }

    #[test]
    fn the_hottest_go_first_and_nobody_waits_for_ever() {
        let mut state = State::default();
        for (key, heat) in [("cold", 0), ("warm", 10), ("hot", 1000), ("warm too", 10)] {
            state.wish(wish(key, heat), at(10));
        }
        assert_eq!(order(&mut state), ["hot", "warm", "warm too", "cold"]);
        state.wish(wish("early", 0), at(20));
        state.wish(wish("late and hot", u16::MAX), at(21));
        assert_eq!(order(&mut state), ["early", "late and hot"]);
    }

    #[test]
    fn it_is_bounded_and_forgets_who_has_rested() {
        let mut state = State::default();
        for n in 0..WAITING_MAX {
            assert_eq!(state.wish(wish(&n.to_string(), 0), at(1)), Wished::Taken);
        }
        assert_eq!(state.wish(wish("one more", 9), at(1)), Wished::Full);
        while let Some(taken) = state.take() {
            state.end(&taken.key, at(1), SECOND);
        }
        for n in WAITING_MAX..2 * WAITING_MAX {
            assert_eq!(state.wish(wish(&n.to_string(), 0), at(1)), Wished::Taken);
        }
        assert_eq!(state.known.len(), KNOWN_MAX);
        let taken = state.take().unwrap();
        assert_eq!(state.wish(wish("one more", 9), at(1)), Wished::Full, "all the rest are still resting");
        assert_eq!(state.wish(wish("one more", 9), at(3)), Wished::Taken);
        assert_eq!(state.known.len(), WAITING_MAX + 1);
        assert_eq!(state.known[&taken.key], Phase::UnderWay);
    }

    #[tokio::test]
    async fn every_wish_is_taken_by_somebody_who_waits() {
        let metrics = crate::telemetry::Metrics::new(&["n".to_owned()], "0", "0").unwrap();
        let depth = metrics.namespace("n").refreshes_waiting.clone();
        let queue = Queue::new(Clock::tokio(), depth.clone());
        let waiting = || async { queue.next().await.wish.key.to_string() };
        let wishing = async {
            for key in ["a", "b", "c"] {
                assert_eq!(queue.wish(wish(key, 0)), Wished::Taken);
            }
            assert_eq!(depth.get(), 3);
        };
        let (a, b, c, ()) = tokio::join!(waiting(), waiting(), waiting(), wishing);
        let mut taken = [a, b, c];
        taken.sort_unstable();
        assert_eq!(taken, ["a", "b", "c"]);
        assert_eq!((depth.get(), queue.lock().known.len()), (0, 0));
    }
}
