//! Whether a load balancer may send requests here, and what is worse than it should be.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// Why an instance takes no requests. Each is a latch: held, then released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is being built.
    Starting,
    /// It has not caught up with the log for the first time.
    CatchingUp,
    /// It brings what it is known to need into its tiers.
    Warming,
    /// It was told to stop.
    Draining,
    /// This task panicked too often and is not restarted.
    TaskGivenUp(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::CatchingUp => f.write_str("catching_up"),
            Self::Warming => f.write_str("warming"),
            Self::Draining => f.write_str("draining"),
            Self::TaskGivenUp(task) => write!(f, "task_given_up: {task}"),
        }
    }
}

/// What is worse than it should be, while requests are answered all the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Degradation {
    /// The instance is cut off from the log.
    Detached,
    /// The breaker of this target is open.
    BreakerOpen(String),
    /// A source of changes is not reached.
    SourceAway(String),
    /// What an operator should mend of the backend, in words.
    Backend(String),
    /// The files of the listeners' certificate say something else than what is shown, and nothing that could be.
    CertificateRefused,
    /// The listeners' certificate is over: clients that look at it go away.
    CertificateExpired,
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detached => f.write_str("detached"),
            Self::BreakerOpen(target) => write!(f, "breaker_open: {target}"),
            Self::SourceAway(name) => write!(f, "source_away: {name}"),
            Self::Backend(warning) => write!(f, "backend: {warning}"),
            Self::CertificateRefused => f.write_str("certificate_refused"),
            Self::CertificateExpired => f.write_str("certificate_expired"),
        }
    }
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Nothing holds the instance back: 200, else 503.
    pub ready: bool,
    /// What does.
    pub reasons: Vec<String>,
    /// What is worse than it should be.
    pub degraded: Vec<String>,
}

/// The latches of one instance; clones share them.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Clone, Debug)]
struct State {
    held: BTreeSet<Reason>,
    degraded: BTreeSet<Degradation>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Held back by [`Reason::Starting`].
    pub fn new() -> Self {
        let held = BTreeSet::from([Reason::Starting]);
        Self(Arc::new(watch::Sender::new(State { held, degraded: BTreeSet::new() })))
    }

    /// Holds the instance back until the reason is released.
    pub fn hold(&self, reason: Reason) {
        self.0.send_if_modified(|state| state.held.insert(reason));
    }

    /// Releases a reason; harmless if it is not held.
    pub fn release(&self, reason: Reason) {
        self.0.send_if_modified(|state| state.held.remove(&reason));
    }

    /// Says that something is worse than it should be, or no longer.
    pub fn degrade(&self, what: Degradation, on: bool) {
        self.0.send_if_modified(
            |state| {
                if on { state.degraded.insert(what) } else { state.degraded.remove(&what) }
            },
        );
    }

    /// Puts these warnings of the backend in place of those before.
    pub fn backend_warnings(&self, warnings: &[String]) {
        self.0.send_if_modified(|state| {
            let before = state.degraded.clone();
            state.degraded.retain(|it| !matches!(it, Degradation::Backend(_)));
            state.degraded.extend(warnings.iter().cloned().map(Degradation::Backend));
            state.degraded != before
        });
    }

    /// As it is now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.0.borrow();
        Snapshot {
            ready: state.held.is_empty(),
            reasons: state.held.iter().map(ToString::to_string).collect(),
            degraded: state.degraded.iter().map(ToString::to_string).collect(),
        }
    }

    /// Waits until nothing holds the instance back.
    pub async fn ready(&self) {
        let mut changes = self.0.subscribe();
        // The sender lives as long as `self`, so this ends only by the condition.
        let _state = changes.wait_for(|state| state.held.is_empty()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_once_every_latch_is_released() {
        let readiness = Readiness::new();
        readiness.hold(Reason::CatchingUp);
        assert_eq!(readiness.snapshot().reasons, ["starting", "catching_up"]);
        readiness.release(Reason::Starting);
        assert!(!readiness.snapshot().ready);
        readiness.release(Reason::CatchingUp);
        assert!(readiness.snapshot().ready);
        readiness.hold(Reason::TaskGivenUp("tail"));
        assert_eq!(readiness.snapshot().reasons, ["task_given_up: tail"]);
        assert!(!readiness.snapshot().ready);
    }

    #[test]
    fn degraded_is_not_unready() {
        let readiness = Readiness::new();
        readiness.release(Reason::Starting);
        readiness.degrade(Degradation::Detached, true);
        readiness.degrade(Degradation::BreakerOpen("backend".to_owned()), true);
        readiness.backend_warnings(&["no persistence".to_owned()]);
        let body = serde_json::to_value(readiness.snapshot()).unwrap();
        let degraded = ["detached", "breaker_open: backend", "backend: no persistence"];
        assert_eq!(body, serde_json::json!({"ready": true, "reasons": [], "degraded": degraded}));

        readiness.degrade(Degradation::Detached, false);
        readiness.backend_warnings(&[]);
        assert_eq!(readiness.snapshot().degraded, ["breaker_open: backend"]);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_latch_is_released() {
        let readiness = Readiness::new();
        let mut waiting = Box::pin(readiness.ready());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        readiness.release(Reason::Starting);
        waiting.await;
    }
}
