//! What is shown of the systems whose changes are read.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Result};

use super::family::Families;

/// The families; a source's series are there once it is configured.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    up: IntGaugeVec,
    lag: GaugeVec,
}

impl SourceMetrics {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        Ok(Self {
            up: to.int_gauge_vec(
                "coherd_source_up",
                "1 while this instance reaches a source of changes.",
                &["name"],
            )?,
            lag: to.gauge_vec(
                "coherd_source_lag_seconds",
                "How old the oldest change of the last ones was when this instance read them from a source.",
                &["name"],
            )?,
        })
    }

    /// The gauges of one source, by its name in the configuration.
    pub fn of(&self, name: &str) -> SourceGauges {
        SourceGauges { up: self.up.with_label_values(&[name]), lag: self.lag.with_label_values(&[name]) }
    }
}

/// One source's.
#[derive(Clone, Debug)]
pub struct SourceGauges {
    /// `coherd_source_up{name}`: 1 or 0.
    pub up: IntGauge,
    /// `coherd_source_lag_seconds{name}`.
    pub lag: Gauge,
}
