//! What is counted of supervised tasks.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::family::Families;

/// `coherd_task_*`, by the task's name.
#[derive(Clone, Debug)]
pub struct TaskMetrics {
    up: IntGaugeVec,
    restarts: IntCounterVec,
    panics: IntCounterVec,
    overruns: IntCounterVec,
}

impl TaskMetrics {
    pub(super) fn register(to: &Families<'_>) -> Result<Self> {
        const TASK: &[&str] = &["task"];
        Ok(Self {
            up: to.int_gauge_vec("coherd_task_up", "1 while the task runs.", TASK)?,
            restarts: to.counter_vec(
                "coherd_task_restarts_total",
                "Restarts of a long-lived task after it failed, panicked or ended early.",
                TASK,
            )?,
            panics: to.counter_vec("coherd_task_panics_total", "Panics, short-lived work included.", TASK)?,
            overruns: to.counter_vec(
                "coherd_task_overruns_total",
                "Work that was cut off because it had not ended by its deadline: a load's, a refresh's, a lease's, or its stage's at the stop.",
                TASK,
            )?,
        })
    }

    /// The children of a long-lived task, made at zero.
    pub fn task(&self, name: &str) -> TaskCounters {
        self.panics.with_label_values(&[name]);
        self.overruns.with_label_values(&[name]);
        TaskCounters {
            up: self.up.with_label_values(&[name]),
            restarts: self.restarts.with_label_values(&[name]),
        }
    }

    /// Counts a panic.
    pub fn panicked(&self, name: &str) {
        self.panics.with_label_values(&[name]).inc();
    }

    /// Counts what was cut off at a deadline.
    pub fn overran(&self, name: &str) {
        self.overruns.with_label_values(&[name]).inc();
    }
}

/// The children of one long-lived task.
#[derive(Clone, Debug)]
pub struct TaskCounters {
    /// `coherd_task_up{task}`: 1 or 0.
    pub up: IntGauge,
    /// `coherd_task_restarts_total{task}`.
    pub restarts: IntCounter,
}
