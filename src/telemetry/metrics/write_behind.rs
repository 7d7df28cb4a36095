//! What is counted of writes on their way to the origin.

use prometheus::{Gauge, IntCounter, IntGauge, Result};

use super::family::{By, Families};
use crate::telemetry::labels::WriteOutcome;

/// `coherd_write_behind_*`.
#[derive(Clone, Debug)]
pub struct WriteBehindMetrics {
    /// `coherd_write_behind_pending`.
    pub pending: IntGauge,
    /// `coherd_write_behind_pending_max`: `write_behind.backlog_max`, zero where nothing is written behind.
    pub pending_max: IntGauge,
    /// `coherd_write_behind_oldest_seconds`: zero when nothing is pending.
    pub oldest: Gauge,
    /// `coherd_write_behind_applied_total{outcome}`.
    pub applied: By<WriteOutcome, IntCounter>,
    /// `coherd_write_behind_dead`.
    pub dead: IntGauge,
}

impl WriteBehindMetrics {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        Ok(Self {
            pending: to
                .int_gauge("coherd_write_behind_pending", "Writes acknowledged and not at the origin yet.")?,
            pending_max: to.int_gauge(
                "coherd_write_behind_pending_max",
                "Pending writes of the whole cluster beyond which further ones are refused.",
            )?,
            oldest: to.gauge("coherd_write_behind_oldest_seconds", "Age of the oldest pending write.")?,
            applied: to.counters(
                "coherd_write_behind_applied_total",
                "Attempts to bring a pending write to the origin, by what became of them.",
            )?,
            dead: to.int_gauge("coherd_write_behind_dead", "Writes in the dead letters.")?,
        })
    }
}
