//! What an operator sees of an instance: log lines, metrics, readiness.

pub mod labels;
pub mod logging;
mod metrics;
mod openmetrics;
mod readiness;
mod throttle;
pub mod trace;

pub use metrics::{
    BackendMetrics, BreakerGauge, BreakerMetrics, By, CoherenceMetrics, Counter, Gauge, Histogram, IntGauge,
    L1Metrics, Metrics, MetricsError, NamespaceMetrics, OPENMETRICS_TYPE, OriginMetrics, SourceGauges,
    SourceMetrics, TEXT_TYPE, TaskCounters, TaskMetrics, Timed, TraceMetrics, WriteBehindMetrics,
};
pub use readiness::{Degradation, Readiness, Reason, Snapshot};
pub use throttle::Throttle;
