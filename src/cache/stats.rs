//! What `/stats` counts of a namespace: the metrics, less what they were at the last reset.

use std::sync::{Mutex, PoisonError};

use super::NamespaceStats;
use crate::telemetry::NamespaceMetrics;
use crate::telemetry::labels::RequestResult;

/// The counts at the last reset.
#[derive(Default)]
pub(super) struct Baseline(Mutex<NamespaceStats>);

impl Baseline {
    /// What was counted since the last reset.
    pub(super) fn stats(&self, metrics: &NamespaceMetrics) -> NamespaceStats {
        let base = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = counted(metrics);
        NamespaceStats {
            l1_hits: now.l1_hits - base.l1_hits,
            l2_hits: now.l2_hits - base.l2_hits,
            stale: now.stale - base.stale,
            negative: now.negative - base.negative,
            misses: now.misses - base.misses,
            collapsed: now.collapsed - base.collapsed,
            loads: now.loads - base.loads,
            refreshes: now.refreshes - base.refreshes,
            fills_rejected: now.fills_rejected - base.fills_rejected,
            l1_entries: now.l1_entries,
            l1_bytes: now.l1_bytes,
        }
    }

    /// Counts from here.
    pub(super) fn reset(&self, metrics: &NamespaceMetrics) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counted(metrics);
    }
}

fn counted(metrics: &NamespaceMetrics) -> NamespaceStats {
    let requests = |result| metrics.requests.of(result).get();
    let gauge = |value: i64| u64::try_from(value).unwrap_or(0);
    NamespaceStats {
        l1_hits: requests(RequestResult::L1),
        l2_hits: requests(RequestResult::L2),
        stale: requests(RequestResult::Stale),
        negative: requests(RequestResult::Negative),
        misses: requests(RequestResult::Miss),
        collapsed: requests(RequestResult::Collapsed),
        loads: metrics.origin.requests.total(),
        refreshes: metrics.refreshes.total(),
        fills_rejected: metrics.fills_rejected.total(),
        l1_entries: gauge(metrics.l1.entries.get()),
        l1_bytes: gauge(metrics.l1.bytes.get()),
    }
}
