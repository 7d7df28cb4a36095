//! What is counted of traces.

use prometheus::{IntCounter, Result};

use super::family::Families;

/// `coherd_trace_spans_*`.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    /// `coherd_trace_spans_exported_total`.
    pub exported: IntCounter,
    /// `coherd_trace_spans_dropped_total`.
    pub dropped: IntCounter,
}

impl TraceMetrics {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        Ok(Self {
            exported: to.counter("coherd_trace_spans_exported_total", "Spans that the collector took.")?,
            dropped: to.counter(
                "coherd_trace_spans_dropped_total",
                "Spans that were not exported: the queue was full, or the collector did not take them.",
            )?,
        })
    }
}
