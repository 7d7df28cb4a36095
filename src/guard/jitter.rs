//! Jitter that can be repeated: instances come apart, and a simulation of them runs the same way twice.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::clock::Boot;

/// A part of one, evenly spread over instances, keys and moments, and always the same for the same.
pub fn share_of(instance: &str, key: &str, now: Boot) -> f64 {
    let hash = xxh3_64_with_seed(key.as_bytes(), xxh3_64_with_seed(instance.as_bytes(), now.as_nanos()));
    // 32 bits are as fine as any pause.
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_spread_over_all_of_one_and_repeat() {
        let share = |n: u32| share_of("a", &n.to_string(), Boot::NEVER);
        let mut tenths = [0; 10];
        for n in 0..1000 {
            assert!((0.0..=1.0).contains(&share(n)));
            assert!((share(n) - share(n)).abs() < f64::EPSILON);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 9")]
            let tenth = (share(n) * 9.999) as usize;
            tenths[tenth] += 1;
        }
        assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
        assert!((share_of("a", "k", Boot::NEVER) - share_of("b", "k", Boot::NEVER)).abs() > f64::EPSILON);
    }
}
