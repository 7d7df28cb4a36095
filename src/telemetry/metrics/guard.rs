//! What is shown of breakers.

use prometheus::{IntGauge, IntGaugeVec, Result};

use super::family::Families;
use crate::telemetry::labels::{BreakerState, Label};

/// `coherd_breaker_state{target}`.
#[derive(Clone, Debug)]
pub struct BreakerMetrics(IntGaugeVec);

impl BreakerMetrics {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        let states = to.int_gauge_vec(
            "coherd_breaker_state",
            "Whether a breaker lets calls through: 0 closed, 1 half open, 2 open.",
            &["target"],
        )?;
        let breakers = Self(states);
        breakers.of("backend");
        Ok(breakers)
    }

    /// The gauge of one breaker, closed. Targets come from the configuration: `backend`, `origin:NAMESPACE`.
    pub fn of(&self, target: &str) -> BreakerGauge {
        BreakerGauge(self.0.with_label_values(&[target]))
    }
}

/// One breaker's state.
#[derive(Clone, Debug)]
pub struct BreakerGauge(IntGauge);

impl BreakerGauge {
    /// Shows the state.
    pub fn set(&self, state: BreakerState) {
        self.0.set(i64::try_from(state.index()).unwrap_or(i64::MAX));
    }
}
