//! What is known of the fences of locks: the highest one seen, and how far the clocks they were taken from can have got.
//!
//! A server that has lost the last fence and whose clock is behind is told a bound for it. Each instance finds it by
//! itself, so that where all is lost twice and two instances are the first to ask, what they take the clocks for decides
//! whose fence is greater. Every answer narrows that down; what is left of the error is the least time that a question was
//! under way, and is taken to be less than the second needs to reach the server. One that was started after a clock had
//! gone back has not seen the clock before it, and knows a smaller bound.
//!
//! The coherence room keeps a server's clock, too: as it most likely is now, where this is the most that any can have been.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::backend::Fence;
use crate::model::Shard;

/// Far below where a double stops counting, far above what any clock gives.
const FENCE_MAX: Fence = 1 << 52;

/// By how much two clocks come apart, in microseconds: those of two machines in the time that one hears nothing of the
/// other, and a fence from the clock, where many are given out at once.
const CLOCKS_APART: u64 = 1_000_000;

/// What one instance knows.
pub(crate) struct Fences {
    seen: AtomicU64,
    /// By shard.
    clocks: Vec<Mutex<Ahead>>,
}

/// How far the clock of a shard's server is ahead of this machine's boot clock, in microseconds.
#[derive(Clone, Copy, Default)]
struct Ahead {
    least: u64,
    most: u64,
    /// The most of the clocks before that one: of another server, or before it was set.
    before: u64,
}

impl Fences {
    pub(super) fn new(shards: usize) -> Self {
        Self { seen: AtomicU64::new(0), clocks: (0..shards).map(|_| Mutex::default()).collect() }
    }

    /// A fence that the server gave out.
    pub(crate) fn seen(&self, fence: Fence) {
        self.seen.fetch_max(fence.min(FENCE_MAX), Ordering::Relaxed);
    }

    /// The highest fence seen.
    pub(crate) fn highest(&self) -> Fence {
        self.seen.load(Ordering::Relaxed)
    }

    /// The clock of a shard's server was at `server_us` somewhere between `sent` and `answered`, both in microseconds of
    /// the boot clock.
    pub(crate) fn clock_seen(&self, shard: Shard, sent: u64, answered: u64, server_us: u64) {
        let Some(clock) = self.clocks.get(usize::from(shard.0)) else { return };
        let server = server_us.min(FENCE_MAX);
        let (least, most) = (server.saturating_sub(answered), server.saturating_sub(sent));
        let mut ahead = clock.lock().unwrap_or_else(PoisonError::into_inner);
        if least <= ahead.most && ahead.least <= most {
            (ahead.least, ahead.most) = (ahead.least.max(least), ahead.most.min(most));
        } else {
            *ahead = Ahead { least, most, before: ahead.before.max(ahead.most) };
        }
    }

    /// At `now` of the boot clock, above every fence that was given out by the clock of a server which the shard was
    /// heard of from, by whatever instance; 0 before it was.
    pub(crate) fn bound(&self, shard: Shard, now: u64) -> Fence {
        let Some(clock) = self.clocks.get(usize::from(shard.0)) else { return 0 };
        let Ahead { most, before, .. } = *clock.lock().unwrap_or_else(PoisonError::into_inner);
        match most.max(before) {
            0 => 0,
            ahead => ahead.saturating_add(now).saturating_add(CLOCKS_APART).min(FENCE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: Shard = Shard(0);
    /// How far the server's clock is ahead of the boot clock.
    const AHEAD: u64 = 1_700_000_000_000_000;

    /// A heartbeat sent at `sent`, whose question and answer took so long on their ways.
    fn ask(fences: &Fences, ahead: u64, sent: u64, there: u64, back: u64) {
        fences.clock_seen(SHARD, sent, sent + there + back, sent + there + ahead);
    }

    #[test]
    fn the_bound_is_off_by_no_more_than_the_quickest_question() {
        let fences = Fences::new(1);
        assert_eq!(fences.bound(SHARD, 1_000_000), 0, "no server was heard of");
        let exact = AHEAD + 9_000_000 + CLOCKS_APART;
        for (there, off) in [(90_000, 90_000), (100, 100), (70_000, 100), (30, 30)] {
            ask(&fences, AHEAD, 1_000_000, there, 50_000);
            assert_eq!(fences.bound(SHARD, 9_000_000), exact + off);
        }
    }

    #[test]
    fn a_clock_that_goes_back_leaves_the_bound_and_one_that_goes_ahead_lifts_it() {
        let fences = Fences::new(1);
        for (back, highest) in [(0, 0), (3_600_000_000, 0), (7_200_000_000, 0), (0, 0)] {
            ask(&fences, AHEAD - back, 1_000_000, 40, 60);
            assert_eq!(fences.bound(SHARD, 0), AHEAD + CLOCKS_APART + 40 + highest, "set back by {back}");
        }
        ask(&fences, AHEAD + 3_600_000_000, 1_000_000, 40, 60);
        assert_eq!(fences.bound(SHARD, 0), AHEAD + CLOCKS_APART + 40 + 3_600_000_000);
    }

    #[test]
    fn a_clock_that_drifts_stays_below_the_bound_which_does_not_run_away() {
        for (ahead_of, drift) in [(AHEAD, 50), (AHEAD, -50)] {
            let fences = Fences::new(1);
            for beat in 1..100_000_u64 {
                let sent = beat * 250_000;
                let ahead = ahead_of.saturating_add_signed(i64::try_from(sent).unwrap() / 1_000_000 * drift);
                // Now and then the way is free.
                let slow = if beat % 7 == 0 { 100 } else { 20_000 };
                ask(&fences, ahead, sent, slow, slow);
                let (bound, clock) = (fences.bound(SHARD, sent), sent + ahead);
                assert!(clock + CLOCKS_APART / 2 < bound, "beat {beat}, drift {drift}");
                assert!(
                    bound <= sent + ahead.max(ahead_of) + CLOCKS_APART + 40_000,
                    "beat {beat}, drift {drift}"
                );
            }
        }
    }

    #[test]
    fn what_no_clock_shows_is_no_overflow() {
        let fences = Fences::new(1);
        fences.clock_seen(SHARD, 5, 3, u64::MAX);
        assert_eq!(fences.bound(SHARD, u64::MAX), FENCE_MAX);
        fences.clock_seen(Shard(7), 0, 0, 1);
        assert_eq!(fences.bound(Shard(7), 0), 0, "there is no such shard");
    }
}
