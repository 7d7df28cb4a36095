//! Keys whose load failed while a stale copy could be answered: they are left alone for a growing while, so that an
//! origin that fails is not asked for every read.

use std::time::Duration;

use dashmap::DashMap;

use crate::clock::Boot;
use crate::model::Key;

/// The longest pause after the first failure; it doubles with every further one.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause of all.
const LONGEST: Duration = Duration::from_secs(5);
/// Keys that are remembered. Loads of those beyond go on as if nothing had happened, under the origin's own limits.
const KEYS_MAX: usize = 10_000;

/// One namespace's.
#[derive(Debug, Default)]
pub(super) struct Setbacks(DashMap<Key, Setback>);

#[derive(Clone, Copy, Debug)]
struct Setback {
    /// In a row.
    failures: u32,
    until: Boot,
}

impl Setbacks {
    /// A load of `key` has failed. `share`, a part of one that differs between instances, is how much of the pause's
    /// second half is waited: those that failed together do not come back together.
    pub(super) fn failed(&self, key: &Key, now: Boot, share: f64) {
        if KEYS_MAX <= self.0.len() && !self.0.contains_key(key) {
            return;
        }
        let mut setback = self.0.entry(key.clone()).or_insert(Setback { failures: 0, until: now });
        let pause = FIRST.saturating_mul(1 << setback.failures.min(16)).min(LONGEST);
        setback.failures = setback.failures.saturating_add(1);
        setback.until = now + pause.mul_f64(0.5 + share / 2.0);
    }

    /// Whether `key` is to be left alone while a stale copy can be answered.
    pub(super) fn resting(&self, key: &Key, now: Boot) -> bool {
        self.0.get(key).is_some_and(|setback| now < setback.until)
    }

    /// A load of `key` has brought something.
    pub(super) fn over(&self, key: &Key) {
        self.0.remove(key);
    }

    /// Forgets what lies so far back that the next failure is a first one.
    pub(super) fn sweep(&self, now: Boot) {
        self.0.retain(|_, setback| now < setback.until + LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    /// The pause after another failure at `now`, in milliseconds.
    fn pause(setbacks: &Setbacks, now: Boot, share: f64) -> u128 {
        setbacks.failed(&key("k"), now, share);
        setbacks.0.get(&key("k")).unwrap().until.since(now).as_millis()
    }

    #[test]
    fn pauses_grow_to_their_bound_vary_and_end_with_a_success() {
        let (setbacks, now) = (Setbacks::default(), Boot::NEVER + LONGEST);
        let pauses: Vec<_> = (0..7).map(|_| pause(&setbacks, now, 1.0)).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pause(&setbacks, now, 0.0), 2500);
        assert!(setbacks.resting(&key("k"), now) && !setbacks.resting(&key("other"), now));
        assert!(!setbacks.resting(&key("k"), now + LONGEST));
        setbacks.over(&key("k"));
        assert!(!setbacks.resting(&key("k"), now));
        assert_eq!(pause(&setbacks, now, 1.0), 200);
    }

    #[test]
    fn a_failure_long_after_the_last_is_a_first_one() {
        let (setbacks, now) = (Setbacks::default(), Boot::NEVER + LONGEST);
        pause(&setbacks, now, 1.0);
        setbacks.sweep(now + LONGEST);
        assert_eq!(pause(&setbacks, now + LONGEST, 1.0), 400, "it is still remembered");
        setbacks.sweep(now + LONGEST * 3);
        assert!(setbacks.0.is_empty());
    }

    #[test]
    fn only_so_many_are_remembered() {
        let setbacks = Setbacks::default();
        for n in 0..=KEYS_MAX {
            setbacks.failed(&key(&n.to_string()), Boot::NEVER, 1.0);
        }
        assert_eq!(setbacks.0.len(), KEYS_MAX);
        assert!(!setbacks.resting(&key(&KEYS_MAX.to_string()), Boot::NEVER));
        setbacks.failed(&key("7"), Boot::NEVER, 1.0);
        assert!(setbacks.resting(&key("7"), Boot::NEVER + FIRST), "who is known goes on being counted");
    }
}
