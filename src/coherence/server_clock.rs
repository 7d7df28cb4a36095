//! A server's clock as this machine knows it: how far it is ahead of the boot clock.
//!
//! A heartbeat's answer says what TIME the server had somewhere between the question and the answer. Taken for the
//! middle, that is off by half the round trip at the most, plus what the two clocks have drifted apart since. Of the
//! last samples the one with the least such error counts. A sample that an older one contradicts beyond both errors
//! shows that the server's clock was set: what was known before is worth nothing. This machine's own time of day is
//! never asked for: it may be wrong, and it may be set.

use std::collections::VecDeque;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, PoisonError};

use crate::clock::Boot;

/// Samples kept: those of about the last sixteen seconds.
const SAMPLES_MAX: usize = 64;
/// How fast two clocks come apart at the most, in parts of a million: far more than quartz does, less than a clock that
/// is being slewed hard, which then counts as set again and again.
const DRIFT_PPM: u64 = 100;

/// What a sample showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    /// It agrees with those before it.
    Agrees,
    /// It contradicts them: the clock was set.
    Set,
}

/// One server's clock.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    samples: Mutex<VecDeque<Sample>>,
    /// What the best of them says, in microseconds.
    ahead_us: AtomicI64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// How far the server's clock is ahead of the boot clock, in microseconds.
    ahead_us: i64,
    /// Half of the round trip, rounded up, in microseconds.
    half_us: u64,
    answered: Boot,
}

impl Sample {
    /// How far off it is at the most, in microseconds.
    fn error_us(&self, now: Boot) -> u64 {
        let age_us = now.since(self.answered).as_micros();
        let drift = age_us.saturating_mul(DRIFT_PPM.into()) / 1_000_000;
        self.half_us.saturating_add(u64::try_from(drift).unwrap_or(u64::MAX))
    }

    fn contradicts(&self, other: &Self, now: Boot) -> bool {
        let errors = self.error_us(now).saturating_add(other.error_us(now));
        errors < self.ahead_us.abs_diff(other.ahead_us)
    }
}

impl ServerClock {
    /// Takes what a server that was asked at `sent` said, in microseconds since 1970.
    pub(super) fn sample(&self, sent: Boot, answered: Boot, server_us: u64) -> Sampled {
        let middle_us = (sent.as_nanos() / 2 + answered.as_nanos() / 2) / 1000;
        let half_us = answered.since(sent).as_nanos().div_ceil(2_000);
        let sample = Sample {
            ahead_us: signed(server_us).saturating_sub(signed(middle_us)),
            half_us: u64::try_from(half_us).unwrap_or(u64::MAX),
            answered,
        };
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let set = samples.iter().any(|before| sample.contradicts(before, answered));
        if set {
            samples.clear();
        }
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(sample);
        let best = samples.iter().min_by_key(|it| it.error_us(answered)).unwrap_or(&sample);
        self.ahead_us.store(best.ahead_us, Release);
        if set { Sampled::Set } else { Sampled::Agrees }
    }

    /// What it shows at `now`, in microseconds since 1970; nothing of use before the first sample.
    pub(super) fn micros(&self, now: Boot) -> u64 {
        let now_us = signed(now.as_nanos() / 1000);
        u64::try_from(now_us.saturating_add(self.ahead_us.load(Acquire))).unwrap_or(0)
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server whose clock is that far ahead of the boot clock, in microseconds.
    const AHEAD: u64 = 1_700_000_000_000_000;

    fn at(us: u64) -> Boot {
        Boot::NEVER + Duration::from_micros(us)
    }

    /// A heartbeat sent at `sent`, whose question and answer took so long on their ways.
    fn ask(clock: &ServerClock, ahead: u64, sent: u64, there: u64, back: u64) -> Sampled {
        clock.sample(at(sent), at(sent + there + back), sent + there + ahead)
    }

    fn off(clock: &ServerClock, ahead: u64, now: u64) -> u64 {
        clock.micros(at(now)).abs_diff(now + ahead)
    }

    #[test]
    fn a_lopsided_round_trip_is_off_by_its_half_and_a_short_one_mends_it() {
        let clock = ServerClock::default();
        assert_eq!(ask(&clock, AHEAD, 1_000_000, 90_000, 0), Sampled::Agrees);
        assert_eq!(off(&clock, AHEAD, 1_100_000), 45_000);
        assert_eq!(ask(&clock, AHEAD, 1_250_000, 100, 120), Sampled::Agrees);
        assert_eq!(off(&clock, AHEAD, 1_300_000), 10);
        assert_eq!(ask(&clock, AHEAD, 1_500_000, 0, 80_000), Sampled::Agrees);
        assert_eq!(off(&clock, AHEAD, 1_600_000), 10, "a worse one changes nothing");
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_at_once_and_whichever_way() {
        let clock = ServerClock::default();
        for (round, ahead) in
            [AHEAD, AHEAD + 3_600_000_000, AHEAD - 60_000_000, AHEAD - 59_990_000].iter().enumerate()
        {
            for beat in 0..10 {
                let sent = (round as u64 * 10 + beat) * 250_000 + 1_000_000;
                let sampled = ask(&clock, *ahead, sent, 150, 250);
                let set = round != 0 && beat == 0;
                assert_eq!(sampled == Sampled::Set, set, "round {round}, beat {beat}");
                assert!(off(&clock, *ahead, sent + 1_000) <= 200, "round {round}, beat {beat}");
            }
        }
    }

    #[test]
    fn a_clock_that_drifts_is_followed_and_nothing_grows() {
        let clock = ServerClock::default();
        for beat in 0..10_000_u64 {
            let sent = beat * 250_000 + 1_000_000;
            let ahead = AHEAD + sent * 50 / 1_000_000;
            // Now and then the way is free.
            let slow = if beat % 7 == 0 { 100 } else { 20_000 };
            assert_eq!(ask(&clock, ahead, sent, slow, 100), Sampled::Agrees, "beat {beat}");
            assert!(off(&clock, ahead, sent) <= 1_000, "beat {beat}: {}", off(&clock, ahead, sent));
        }
        assert_eq!(clock.samples.lock().unwrap().len(), SAMPLES_MAX);
    }

    #[test]
    fn what_no_clock_shows_is_no_overflow() {
        let clock = ServerClock::default();
        clock.sample(at(5), at(3), u64::MAX);
        clock.sample(at(0), Boot::from_nanos(u64::MAX), 0);
        clock.micros(Boot::from_nanos(u64::MAX));
    }
}
