//! What is counted of the protocol: events published and applied, what was missed, how far behind the instance is.

use prometheus::{Gauge, Histogram, IntCounter, IntGauge, Result};

use super::family::{By, Families};
use super::timed::Timed;
use crate::telemetry::labels::{
    CheckResult, EventPath, EventSource, GapCause, Label, RejectReason, ResyncCause, TargetKind, WaitEnd,
};

/// The coherence room's metrics.
#[derive(Clone, Debug)]
pub struct CoherenceMetrics {
    /// `coherd_invalidations_published_total{source}`: events this instance logged.
    pub published: By<EventSource, IntCounter>,
    /// `coherd_invalidations_applied_total{kind,path}`: one per target of an event.
    pub applied: By<TargetKind, By<EventPath, IntCounter>>,
    /// `coherd_invalidation_lag_seconds`.
    pub lag: Timed,
    /// `coherd_log_lag_events`.
    pub log_lag_events: IntGauge,
    /// `coherd_attached`: 1 or 0.
    pub attached: IntGauge,
    /// `coherd_staleness_seconds`.
    pub staleness: Gauge,
    /// `coherd_lease_remaining_seconds`: zero when detached.
    pub lease_remaining: Gauge,
    /// `coherd_gaps_total{cause}`.
    pub gaps: By<GapCause, IntCounter>,
    /// `coherd_resyncs_total{cause}`.
    pub resyncs: By<ResyncCause, IntCounter>,
    /// `coherd_joiner_retries_total`.
    pub joiner_retries: IntCounter,
    /// `coherd_false_stale_total`.
    pub false_stale: IntCounter,
    /// `coherd_wait_all_seconds{mode}`.
    pub wait_all: By<WaitEnd, Histogram>,
    /// `coherd_events_rejected_total{reason}`.
    pub events_rejected: By<RejectReason, IntCounter>,
    /// `coherd_members`.
    pub members: IntGauge,
    /// `coherd_coherence_checks_total{result}`.
    pub checks: By<CheckResult, IntCounter>,
}

impl CoherenceMetrics {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        let applied = to.counter_vec(
            "coherd_invalidations_applied_total",
            "Targets of events applied here, by what they name and the way they came.",
            &[TargetKind::NAME, EventPath::NAME],
        )?;
        Ok(Self {
            published: to.counters(
                "coherd_invalidations_published_total",
                "Events logged by this instance, by the door they came through. Those of source=\"fcall\" the server logs by itself: a heartbeat is told how many there were since the last, so that each is counted by one instance of the cluster.",
            )?,
            applied: By::new(|kind: TargetKind| {
                By::new(|path: EventPath| applied.with_label_values(&[kind.as_str(), path.as_str()]))
            }),
            lag: to.timed(
                "coherd_invalidation_lag_seconds",
                "Time from an event being logged to its being applied here, both by the server's clock: heartbeats ask for TIME, and of the last samples the one with the shortest round trip says how far it is from this machine's boot clock. Off by half of that round trip at the most.",
            )?,
            log_lag_events: to
                .int_gauge("coherd_log_lag_events", "Events known to be logged and not applied here yet.")?,
            attached: to
                .int_gauge("coherd_attached", "1 while the instance may trust its copies in every shard.")?,
            staleness: to.gauge(
                "coherd_staleness_seconds",
                "Time since the instance last had proof that it had seen the whole log.",
            )?,
            lease_remaining: to.gauge(
                "coherd_lease_remaining_seconds",
                "Time for which the instance may still trust its copies without another proof.",
            )?,
            gaps: to.counters(
                "coherd_gaps_total",
                "Times that events were or may have been missed and the log was read, by what showed it.",
            )?,
            resyncs: to.counters("coherd_resyncs_total", "Times that all of L1 was given up, by why.")?,
            joiner_retries: to.counter(
                "coherd_joiner_retries_total",
                "Requests that joined a load too late to use its result and started over.",
            )?,
            false_stale: to.counter(
                "coherd_false_stale_total",
                "Copies distrusted because of a collision in the watermark table that L2 found to be valid.",
            )?,
            wait_all: to
                .histograms("coherd_wait_all_seconds", "Time that wait=all took, by how it ended.")?,
            events_rejected: to.counters(
                "coherd_events_rejected_total",
                "Events from other systems that were dropped, by why.",
            )?,
            members: to.int_gauge("coherd_members", "Instances of the cluster as this one knows them.")?,
            checks: to.counters(
                "coherd_coherence_checks_total",
                "Answers and invalidations that the coherence monitor followed up, by what it found: violation breaks a promise of coherd's, stale_in_bound is what is promised, origin_differs is a change at the origin without an event.",
            )?,
        })
    }
}
