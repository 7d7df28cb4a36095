//! Numbers that look random and depend on nothing but the seed and the name of what they are drawn for.
//!
//! Every decision has a stream of its own. So what one task draws does not depend on when another was scheduled.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3Default;

/// A stream of numbers: `SplitMix64`.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The stream of `seed` that belongs to `name`.
    pub(super) fn of(seed: u64, name: impl Hash) -> Self {
        let mut hasher = Xxh3Default::new();
        (seed, name).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A stream that goes its own way from here.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// One of `0..bound`; 0 of nothing.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// One of `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a thousand.
    pub(super) fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// One of them.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let place = self.below(of.len() as u64);
        &of[usize::try_from(place).expect("less than a length")]
    }

    /// A place in a list of so many.
    pub(super) fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).expect("less than a length")
    }
}
