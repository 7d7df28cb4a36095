//! What is counted for each namespace: requests, L1, origin, refused fills, refreshes.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::family::{By, Families};
use super::timed::Timed;
use crate::model::TraceId;
use crate::telemetry::labels::{
    EvictionCause, FillCause, Label, OriginOutcome, RefreshOutcome, RequestResult,
};

/// The children of one namespace.
#[derive(Clone, Debug)]
pub struct NamespaceMetrics {
    /// `coherd_requests_total{namespace,result}`.
    pub requests: By<RequestResult, IntCounter>,
    /// `coherd_request_duration_seconds{result}`: one for all namespaces.
    pub request_duration: Arc<By<RequestResult, Timed>>,
    /// The in-process tier.
    pub l1: L1Metrics,
    /// The system of record.
    pub origin: OriginMetrics,
    /// `coherd_fills_rejected_total{namespace,cause}`.
    pub fills_rejected: By<FillCause, IntCounter>,
    /// `coherd_refreshes_total{namespace,outcome}`.
    pub refreshes: By<RefreshOutcome, IntCounter>,
    /// `coherd_refreshes_waiting{namespace}`.
    pub refreshes_waiting: IntGauge,
    /// `coherd_rate_limited_total{namespace}`.
    pub rate_limited: IntCounter,
    /// `coherd_rate_limit_fallbacks_total{namespace}`.
    pub limited_alone: IntCounter,
}

impl NamespaceMetrics {
    /// Counts an answered request, how long it took, and the trace it is part of.
    pub fn answered(&self, result: RequestResult, took: Duration, trace: Option<TraceId>) {
        self.requests.of(result).inc();
        self.request_duration.of(result).observe(took.as_secs_f64(), trace);
    }
}

/// What is counted of L1.
#[derive(Clone, Debug)]
pub struct L1Metrics {
    /// `coherd_l1_entries{namespace}`.
    pub entries: IntGauge,
    /// `coherd_l1_bytes{namespace}`.
    pub bytes: IntGauge,
    /// `coherd_l1_evictions_total{namespace,cause}`.
    pub evictions: By<EvictionCause, IntCounter>,
}

/// What is counted of an origin.
#[derive(Clone, Debug)]
pub struct OriginMetrics {
    /// `coherd_origin_requests_total{namespace,outcome}`: one per load, whatever its retries.
    pub requests: By<OriginOutcome, IntCounter>,
    /// `coherd_origin_duration_seconds{namespace}`.
    pub duration: Histogram,
}

/// The families that namespaces have children in.
pub(super) struct NamespaceFamilies {
    requests: IntCounterVec,
    pub(super) request_duration: Arc<By<RequestResult, Timed>>,
    l1_entries: IntGaugeVec,
    l1_bytes: IntGaugeVec,
    l1_evictions: IntCounterVec,
    origin_requests: IntCounterVec,
    origin_duration: HistogramVec,
    fills_rejected: IntCounterVec,
    refreshes: IntCounterVec,
    refreshes_waiting: IntGaugeVec,
    rate_limited: IntCounterVec,
    limited_alone: IntCounterVec,
}

impl NamespaceFamilies {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        const NS: &str = "namespace";
        Ok(Self {
            requests: to.counter_vec(
                "coherd_requests_total",
                "Requests by the way they were answered.",
                &[NS, RequestResult::NAME],
            )?,
            request_duration: Arc::new(to.timed_by(
                "coherd_request_duration_seconds",
                "Time to answer a request, by the way it was answered.",
            )?),
            l1_entries: to.int_gauge_vec("coherd_l1_entries", "Entries in L1.", &[NS])?,
            l1_bytes: to.int_gauge_vec("coherd_l1_bytes", "Bytes that L1's entries weigh.", &[NS])?,
            l1_evictions: to.counter_vec(
                "coherd_l1_evictions_total",
                "Entries that left L1, by why.",
                &[NS, EvictionCause::NAME],
            )?,
            origin_requests: to.counter_vec(
                "coherd_origin_requests_total",
                "Loads from the origin, by what it answered.",
                &[NS, OriginOutcome::NAME],
            )?,
            origin_duration: to.histogram_vec(
                "coherd_origin_duration_seconds",
                "Time that a load from the origin took, retries included.",
                &[NS],
            )?,
            fills_rejected: to.counter_vec(
                "coherd_fills_rejected_total",
                "Loaded values that L2 kept out because they might be old, by why.",
                &[NS, FillCause::NAME],
            )?,
            refreshes: to.counter_vec(
                "coherd_refreshes_total",
                "Refreshes of copies that were still being answered, by what became of them.",
                &[NS, RefreshOutcome::NAME],
            )?,
            refreshes_waiting: to.int_gauge_vec(
                "coherd_refreshes_waiting",
                "Keys that wait to be refreshed.",
                &[NS],
            )?,
            rate_limited: to.counter_vec(
                "coherd_rate_limited_total",
                "Requests refused by the namespace's rate limit.",
                &[NS],
            )?,
            limited_alone: to.counter_vec(
                "coherd_rate_limit_fallbacks_total",
                "Requests under a limit of the whole cluster that this instance decided about alone.",
                &[NS],
            )?,
        })
    }

    pub(super) fn namespace(&self, name: &str) -> NamespaceMetrics {
        NamespaceMetrics {
            requests: by(&self.requests, name),
            request_duration: Arc::clone(&self.request_duration),
            l1: L1Metrics {
                entries: self.l1_entries.with_label_values(&[name]),
                bytes: self.l1_bytes.with_label_values(&[name]),
                evictions: by(&self.l1_evictions, name),
            },
            origin: OriginMetrics {
                requests: by(&self.origin_requests, name),
                duration: self.origin_duration.with_label_values(&[name]),
            },
            fills_rejected: by(&self.fills_rejected, name),
            refreshes: by(&self.refreshes, name),
            refreshes_waiting: self.refreshes_waiting.with_label_values(&[name]),
            rate_limited: self.rate_limited.with_label_values(&[name]),
            limited_alone: self.limited_alone.with_label_values(&[name]),
        }
    }
}

fn by<L: Label>(family: &IntCounterVec, namespace: &str) -> By<L, IntCounter> {
    By::new(|label: L| family.with_label_values(&[namespace, label.as_str()]))
}
