//! The breakers of an instance, and what metrics, `/readyz` and `/stats` say of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::guard::{Breaker, BreakerSettings, Phase};
use crate::telemetry::labels::{BreakerState, Label};
use crate::telemetry::{BreakerGauge, BreakerMetrics, Degradation, Readiness};

/// What metrics and `/stats` call the one before the backend.
pub(super) const BACKEND: &str = "backend";

/// Every breaker, beside its gauge.
pub(super) struct Breakers {
    all: Vec<(Arc<Breaker>, BreakerGauge)>,
    metrics: BreakerMetrics,
}

impl Breakers {
    pub(super) fn new(metrics: BreakerMetrics) -> Self {
        Self { all: Vec::new(), metrics }
    }

    /// One more; `answer_max` is how long the part behind it may take for an answer.
    pub(super) fn add(
        &mut self,
        target: String,
        settings: &config::Breaker,
        answer_max: Duration,
    ) -> Arc<Breaker> {
        let gauge = self.metrics.of(&target);
        let config::Breaker { failures, open_for } = *settings;
        let breaker =
            Arc::new(Breaker::new(BreakerSettings { target, failures, open_for, probe_max: answer_max }));
        self.all.push((Arc::clone(&breaker), gauge));
        breaker
    }

    /// Shows all as they are now.
    pub(super) fn show(&self, readiness: &Readiness) {
        for (breaker, gauge) in &self.all {
            let phase = breaker.phase();
            gauge.set(state(phase));
            // One that tries is not to be relied on yet.
            let target = breaker.target().to_owned();
            readiness.degrade(Degradation::BreakerOpen(target), phase != Phase::Closed);
        }
    }

    /// `closed`, `open` or `half_open`, by target.
    pub(super) fn by_target(&self) -> BTreeMap<String, &'static str> {
        let of = |breaker: &Breaker| (breaker.target().to_owned(), state(breaker.phase()).as_str());
        self.all.iter().map(|(breaker, _)| of(breaker)).collect()
    }
}

fn state(phase: Phase) -> BreakerState {
    match phase {
        Phase::Closed => BreakerState::Closed,
        Phase::HalfOpen => BreakerState::HalfOpen,
        Phase::Open => BreakerState::Open,
    }
}
