//! `XFetch`: refreshing before the time, by chance, the sooner the longer a load takes (Vattani, Chierichetti and
//! Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015).
//!
//! Every read of a fresh copy draws; the copy is refreshed once `now - delta * beta * ln(random) >= expiry`. The draws are
//! independent, in every process: readers of a hot key spread over the last few load times before its expiry without
//! speaking to each other, and a key that nobody reads is not refreshed.

use std::time::Duration;

/// Whether a copy of `age` that is fresh up to the age `fresh` is to be refreshed now. `load_time` is delta, `random` is
/// evenly drawn from [0, 1).
pub(super) fn due(age: Duration, fresh: Duration, load_time: Duration, beta: f64, random: f64) -> bool {
    // 1 - random is never 0, whose logarithm is infinite.
    let early = load_time.as_secs_f64() * beta * -(1.0 - random).ln();
    fresh.as_secs_f64() <= age.as_secs_f64() + early
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const FRESH: Duration = Duration::from_secs(60);
    const LIVES: usize = 400;

    /// How long before its expiry a copy that is read every `every` is refreshed, in seconds, in many lives of a key.
    fn leads(load_ms: u64, beta: f64, every: Duration) -> Vec<f64> {
        let mut rng = StdRng::seed_from_u64(1);
        let life = || {
            // Earlier than that no draw reaches.
            let first = FRESH.saturating_sub(Duration::from_millis(load_ms).mul_f64(37.0 * beta));
            let mut age = first + every.mul_f64(rng.random());
            while age < FRESH && !due(age, FRESH, Duration::from_millis(load_ms), beta, rng.random()) {
                age += every;
            }
            FRESH.saturating_sub(age).as_secs_f64()
        };
        std::iter::repeat_with(life).take(LIVES).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    fn mean(of: &[f64]) -> f64 {
        of.iter().sum::<f64>() / of.len() as f64
    }

    #[test]
    fn one_draw_is_early_by_an_exponential_time() {
        let mut rng = StdRng::seed_from_u64(2);
        let load = Duration::from_secs(1);
        let mut share = |left: f64| {
            let age = FRESH.saturating_sub(Duration::from_secs_f64(left));
            let drawn = (0..20_000).filter(|_| due(age, FRESH, load, 1.0, rng.random())).count();
            f64::from(u32::try_from(drawn).unwrap()) / 20_000.0
        };
        // P(early >= left) = e^(-left / (delta * beta))
        for left in [0.1, 0.5, 1.0, 2.0, 4.0] {
            let (found, expected) = (share(left), (-left).exp());
            assert!((found - expected).abs() < 0.015, "{left} s before: {found}, expected {expected}");
        }
    }

    #[test]
    fn refreshes_spread_before_the_expiry_and_sooner_for_slow_loads_and_a_greater_beta() {
        let every = Duration::from_millis(10);
        let of = |load_ms, beta| leads(load_ms, beta, every);
        let (quick, slow, eager) = (of(100, 1.0), of(400, 1.0), of(100, 4.0));
        for leads in [&quick, &slow, &eager] {
            assert!(leads.iter().all(|lead| (0.0..=60.0).contains(lead)));
            let late = leads.iter().filter(|lead| **lead <= 0.0).count();
            assert!(late * 50 < LIVES, "{late} of {LIVES} were left to expire");
        }
        assert!(mean(&quick) * 2.0 < mean(&slow), "{} and {}", mean(&quick), mean(&slow));
        // Only the product counts.
        assert!((mean(&slow) - mean(&eager)).abs() < 0.15, "{} and {}", mean(&slow), mean(&eager));
        // Not all at once: the middle half is wider than half a load.
        let mut sorted = slow;
        sorted.sort_by(f64::total_cmp);
        let spread = sorted[LIVES * 3 / 4] - sorted[LIVES / 4];
        assert!(0.2 < spread, "the middle half within {spread} s");
    }

    #[test]
    fn a_key_that_is_read_seldom_is_mostly_left_alone() {
        let leads = leads(100, 1.0, Duration::from_secs(7));
        let refreshed = leads.iter().filter(|lead| 0.0 < **lead).count();
        assert!(refreshed * 20 < LIVES, "{refreshed} of {LIVES}");
    }

    #[test]
    fn an_expired_copy_is_always_due_and_without_beta_or_load_time_no_other() {
        let at = |age, load, beta, random| {
            due(Duration::from_secs(age), FRESH, Duration::from_secs(load), beta, random)
        };
        assert!(at(60, 0, 0.0, 0.0) && at(61, 1, 1.0, 0.5));
        assert!(!at(59, 9, 0.0, 0.999_999) && !at(59, 0, 9.0, 0.999_999));
        assert!(!at(0, 1, 1.0, 1.0 - f64::EPSILON), "at most 37 load times ahead");
    }
}
