//! What is counted of the shared backend.

use prometheus::{Histogram, IntCounter, IntGauge, Result};

use super::family::{By, Families};
use crate::telemetry::labels::BackendOp;

/// `coherd_backend_*`, by operation.
#[derive(Clone, Debug)]
pub struct BackendMetrics {
    /// `coherd_backend_duration_seconds{op}`: operations that were answered, and those that failed.
    pub duration: By<BackendOp, Histogram>,
    /// `coherd_backend_errors_total{op}`.
    pub errors: By<BackendOp, IntCounter>,
    /// `coherd_backend_warnings`: what `/readyz` says of the server.
    pub warnings: IntGauge,
}

impl BackendMetrics {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        Ok(Self {
            duration: to.histograms(
                "coherd_backend_duration_seconds",
                "Time that an operation of the shared backend took.",
            )?,
            errors: to.counters(
                "coherd_backend_errors_total",
                "Operations of the shared backend that had no answer or were refused.",
            )?,
            warnings: to.int_gauge(
                "coherd_backend_warnings",
                "Things about the server that an operator should mend, as /readyz names them.",
            )?,
        })
    }
}
