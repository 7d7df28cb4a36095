//! `[monitor]`: how much the coherence monitor follows up.

use super::declare::section;
use super::kind::float;

section! { at =>
    /// `[monitor]`
    pub struct Monitor {
        /// Share of invalidations and reads that are followed up.
        sample: f64 = at.or(0.001, float(0.0..=1.0));
    }
}
