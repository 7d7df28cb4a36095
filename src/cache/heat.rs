//! How often keys are read: an estimate in fixed memory, to tell the hot from the cold where not all can be served.

use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use xxhash_rust::xxh3::xxh3_64;

/// Counters of a namespace: 128 KiB.
const COUNTERS: usize = 1 << 16;

/// A sketch of two counters a key: the smaller one is at least what was counted of the key. Reads that meet in one
/// counter may lose a count to each other: an estimate need not be exact, and a hot counter is written no more than it
/// must be.
pub(super) struct Heat(Box<[AtomicU16]>);

impl Heat {
    pub(super) fn new() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU16::new(0)).collect())
    }

    /// A read of `key`.
    pub(super) fn note(&self, key: &str) {
        for counter in self.counters(key) {
            let count = counter.load(Relaxed);
            // A full counter is only read: it stays in every core's cache.
            if count < u16::MAX {
                counter.store(count + 1, Relaxed);
            }
        }
    }

    /// About how often `key` was read lately.
    pub(super) fn of(&self, key: &str) -> u16 {
        self.counters(key).map(|counter| counter.load(Relaxed)).into_iter().min().unwrap_or(0)
    }

    /// Halves every count: what was hot is forgotten by and by.
    pub(super) fn cool(&self) {
        for counter in &self.0 {
            let count = counter.load(Relaxed);
            if count != 0 {
                counter.store(count / 2, Relaxed);
            }
        }
    }

    fn counters(&self, key: &str) -> [&AtomicU16; 2] {
        let hash = xxh3_64(key.as_bytes());
        // The number of counters is a power of two below 2^32: the mask leaves what fits.
        [hash, hash >> 32].map(|hash| &self.0[usize::try_from(hash & 0xFFFF).unwrap_or(0) & (COUNTERS - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_more_is_hotter_and_cools() {
        let heat = Heat::new();
        for n in 0..10_000 {
            heat.note("hot");
            heat.note(&format!("cold {}", n % 1000));
        }
        assert_eq!(heat.of("never"), 0);
        assert!(heat.of("cold 7") < 100, "{}", heat.of("cold 7"));
        assert!(10_000 <= heat.of("hot"));
        heat.cool();
        assert!((5000..6000).contains(&heat.of("hot")), "{}", heat.of("hot"));
    }

    #[test]
    fn a_count_stays_at_its_end() {
        let heat = Heat::new();
        for _ in 0..=u32::from(u16::MAX) {
            heat.note("hot");
        }
        assert_eq!(heat.of("hot"), u16::MAX);
        heat.note("hot");
        assert_eq!(heat.of("hot"), u16::MAX);
    }
}
