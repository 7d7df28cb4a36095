//! Every metric family of an instance, in a registry of its own: several instances can live in one process.

mod backend;
mod coherence;
mod family;
mod guard;
mod namespace;
mod sources;
mod tasks;
mod timed;
mod trace;
mod write_behind;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::process_collector::ProcessCollector;
use prometheus::proto::LabelPair;
use prometheus::{Registry, TextEncoder};

pub use backend::BackendMetrics;
pub use coherence::CoherenceMetrics;
pub use family::By;
pub use guard::{BreakerGauge, BreakerMetrics};
pub use namespace::{L1Metrics, NamespaceMetrics, OriginMetrics};
pub use prometheus::{Error as MetricsError, Gauge, Histogram, IntCounter as Counter, IntGauge};
pub use sources::{SourceGauges, SourceMetrics};
pub use tasks::{TaskCounters, TaskMetrics};
pub(super) use timed::Exemplar;
use timed::Exemplars;
pub use timed::Timed;
pub use trace::TraceMetrics;
pub use write_behind::WriteBehindMetrics;

use super::labels::{Label as _, LeaseWait, RequestResult};
use super::openmetrics;
use family::Families;
use namespace::NamespaceFamilies;

/// The content type of [`Metrics::text`].
pub const TEXT_TYPE: &str = prometheus::TEXT_FORMAT;
/// The content type of [`Metrics::openmetrics`].
pub const OPENMETRICS_TYPE: &str = openmetrics::CONTENT_TYPE;

/// The families, a struct per room. Children with known labels are there, at zero, from the start.
pub struct Metrics {
    registry: Registry,
    families: NamespaceFamilies,
    namespaces: Mutex<BTreeMap<String, Arc<NamespaceMetrics>>>,
    /// The shared backend.
    pub backend: Arc<BackendMetrics>,
    /// Events, leases on the truth, members.
    pub coherence: Arc<CoherenceMetrics>,
    /// `coherd_lease_waits_total{outcome}`.
    pub lease_waits: Arc<By<LeaseWait, Counter>>,
    /// Writes on their way to the origin.
    pub write_behind: Arc<WriteBehindMetrics>,
    /// `coherd_breaker_state{target}`.
    pub breakers: BreakerMetrics,
    /// Systems whose changes are read.
    pub sources: SourceMetrics,
    /// Supervised tasks.
    pub tasks: TaskMetrics,
    /// Spans on their way to a collector.
    pub trace: TraceMetrics,
}

impl Metrics {
    /// Registers everything, with children for the namespaces configured.
    ///
    /// # Errors
    /// Only if two families share a name or one is ill-formed, which a test would find.
    pub fn new(namespaces: &[String], version: &str, revision: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let families = Families(&registry);
        let build = families.int_gauge_vec(
            "coherd_build_info",
            "Always 1; which build runs.",
            &["version", "revision"],
        )?;
        build.with_label_values(&[version, revision]).set(1);
        registry.register(Box::new(ProcessCollector::for_self()))?;

        let metrics = Self {
            families: NamespaceFamilies::register(&families)?,
            namespaces: Mutex::default(),
            backend: Arc::new(BackendMetrics::register(&families)?),
            coherence: Arc::new(CoherenceMetrics::register(&families)?),
            lease_waits: Arc::new(families.counters(
                "coherd_lease_waits_total",
                "Waits for another load's lease on a key, by how they ended.",
            )?),
            write_behind: Arc::new(WriteBehindMetrics::register(&families)?),
            breakers: BreakerMetrics::register(&families)?,
            sources: SourceMetrics::register(&families)?,
            tasks: TaskMetrics::register(&families)?,
            trace: TraceMetrics::register(&families)?,
            registry,
        };
        for namespace in namespaces {
            metrics.namespace(namespace);
        }
        Ok(metrics)
    }

    /// The counters of a namespace, to be fetched once and kept. Namespaces come from the configuration only: each
    /// adds about fifty series for ever.
    pub fn namespace(&self, name: &str) -> Arc<NamespaceMetrics> {
        let mut made = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(made.entry(name.to_owned()).or_insert_with(|| Arc::new(self.families.namespace(name))))
    }

    /// The state of every family as Prometheus text 0.0.4.
    pub fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("gathered families have names and samples, and a String takes all that is written")
    }

    /// The exemplars of a histogram that has any.
    fn exemplars(&self, family: &str, labels: &[LabelPair]) -> Option<&Exemplars> {
        match family {
            "coherd_invalidation_lag_seconds" => Some(self.coherence.lag.exemplars()),
            "coherd_request_duration_seconds" => {
                let value = labels.first()?.value();
                let result = RequestResult::ALL.iter().find(|result| result.as_str() == value)?;
                Some(self.families.request_duration.of(*result).exemplars())
            }
            _ => None,
        }
    }

    /// The state of every family as OpenMetrics 1.0.
    pub fn openmetrics(&self) -> String {
        openmetrics::encode(&self.registry.gather(), &|family, labels, bucket| {
            self.exemplars(family, labels)?.of(bucket)
        })
    }
}

#[cfg(test)]
mod tests;
