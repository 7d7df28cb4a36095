//! What is known of every long-lived task: for `/stats`, `/events`, `/readyz` and the metrics.

use std::collections::BTreeMap;
use std::future::pending;

use serde::Serialize;
use tokio::sync::watch;

use crate::telemetry::{TaskCounters, TaskMetrics};

/// Every long-lived task by name.
pub type Board = BTreeMap<&'static str, TaskStatus>;

/// One long-lived task, or all of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// It runs; false during the pause before a restart and after the end.
    pub up: bool,
    /// How often it was restarted.
    pub restarts: u64,
    /// It panicked too often and is not restarted.
    pub given_up: bool,
    #[serde(skip)]
    wanted: u32,
    #[serde(skip)]
    running: u32,
}

#[derive(Debug, Default)]
pub(super) struct Statuses(watch::Sender<Board>);

impl Statuses {
    pub(super) fn enter(&self, name: &'static str, metrics: &TaskMetrics) -> TaskEntry {
        let entry = TaskEntry { board: self.0.clone(), name, counters: metrics.task(name), running: false };
        entry.change(|status| status.wanted += 1);
        entry
    }

    pub(super) fn board(&self) -> Board {
        self.0.borrow().clone()
    }

    pub(super) fn follow(&self) -> watch::Receiver<Board> {
        self.0.subscribe()
    }

    pub(super) async fn given_up(&self) -> &'static str {
        let mut board = self.0.subscribe();
        let found = board.wait_for(|board| board.values().any(|status| status.given_up)).await;
        let name = found
            .ok()
            .and_then(|board| board.iter().find(|(_, status)| status.given_up).map(|(name, _)| *name));
        match name {
            Some(name) => name,
            None => pending().await,
        }
    }
}

/// One task's own place on the board. Dropped, the task is down.
pub(super) struct TaskEntry {
    board: watch::Sender<Board>,
    name: &'static str,
    counters: TaskCounters,
    running: bool,
}

impl TaskEntry {
    pub(super) fn up(&mut self) {
        if !self.running {
            self.running = true;
            self.change(|status| status.running += 1);
        }
    }

    pub(super) fn down(&mut self) {
        if self.running {
            self.running = false;
            self.change(|status| status.running -= 1);
        }
    }

    pub(super) fn restarted(&self) {
        self.counters.restarts.inc();
        self.change(|status| status.restarts += 1);
    }

    pub(super) fn given_up(&self) {
        self.change(|status| status.given_up = true);
    }

    fn change(&self, how: impl FnOnce(&mut TaskStatus)) {
        self.board.send_modify(|board| {
            let status = board.entry(self.name).or_default();
            how(status);
            status.up = status.running == status.wanted;
            // Set under the board's lock, so that the gauge is never left behind it.
            self.counters.up.set(i64::from(status.up));
        });
    }
}

impl Drop for TaskEntry {
    fn drop(&mut self) {
        self.down();
    }
}
