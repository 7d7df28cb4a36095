//! What is shown of a source: whether it is reached, in `/readyz` and in the metrics.

use crate::telemetry::{Degradation, Readiness, SourceGauges};

/// One source's.
#[derive(Clone)]
pub struct Gauges {
    name: String,
    readiness: Readiness,
    shown: SourceGauges,
}

impl Gauges {
    /// Of the source of that name, which is not reached yet.
    pub fn new(name: &str, readiness: &Readiness, shown: SourceGauges) -> Self {
        let gauges = Self { name: name.to_owned(), readiness: readiness.clone(), shown };
        gauges.reached(false);
        gauges
    }

    /// The source answers, or does not.
    pub(super) fn reached(&self, up: bool) {
        self.shown.up.set(i64::from(up));
        self.readiness.degrade(Degradation::SourceAway(self.name.clone()), !up);
    }

    /// How old a change was when it was read.
    pub(super) fn lag(&self, seconds: f64) {
        self.shown.lag.set(seconds.max(0.0));
    }
}
