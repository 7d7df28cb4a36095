//! The watch: what `/readyz` says of the log, the backend and the tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::breakers::Breakers;
use super::warming::Warming;
use crate::backend::{Backend, LinkState};
use crate::coherence::Coherence;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::{Degradation, IntGauge, Readiness, Reason};

/// Between two looks; an instance is ready this much after it attached, at the most.
const PAUSE: Duration = Duration::from_millis(20);

/// What is watched, and what is told.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) readiness: Readiness,
    pub(super) coherence: Arc<Coherence>,
    pub(super) backend: Arc<dyn Backend>,
    /// How many things about the server `/readyz` names.
    pub(super) warnings: IntGauge,
    pub(super) breakers: Arc<Breakers>,
    pub(super) supervisor: Supervisor,
    pub(super) warming: Warming,
    /// From then on an instance is ready without the log, too.
    pub(super) deadline: Instant,
}

impl Watch {
    /// Hands the watch to the supervisor.
    pub(super) fn start(self) {
        let supervisor = self.supervisor.clone();
        supervisor.task(Stage::Coherence, "app.watch", move |stop| {
            let Self { readiness, coherence, backend, warnings, breakers, supervisor, warming, deadline } =
                self.clone();
            async move {
                tokio::select! {
                    () = attachment(&readiness, &coherence, &warming, deadline, &stop) => {}
                    () = link(&readiness, &backend, &warnings, &stop) => {}
                    () = tasks(&readiness, &supervisor) => {}
                    () = show(&readiness, &breakers) => {}
                }
                Ok(())
            }
        });
    }
}

/// Ready once attached, listening and warm, or in any case after a while; degraded whenever detached.
async fn attachment(
    readiness: &Readiness,
    coherence: &Coherence,
    warming: &Warming,
    deadline: Instant,
    stop: &CancellationToken,
) {
    let mut starting = true;
    let mut before = None;
    while stop.run_until_cancelled(sleep(PAUSE)).await.is_some() {
        let attached = coherence.attached();
        // A publisher that sees only ready instances may send to the inbox channel: somebody hears it.
        let started = attached && coherence.listening();
        if starting && (started || deadline <= Instant::now()) {
            starting = false;
            // Without the log nothing that is loaded is kept.
            if started {
                warming.begin();
            }
            readiness.release(Reason::Starting);
        }
        if before == Some(attached) || (starting && !attached) {
            continue;
        }
        match (before, attached) {
            (_, true) => info!("attached to the log"),
            (None, false) => warn!("starting without the log, copies are not answered until it is there"),
            (Some(_), false) => warn!("cut off from the log, copies are not answered until it is back"),
        }
        before = Some(attached);
        readiness.degrade(Degradation::Detached, !attached);
        coherence.note_attachment(attached);
    }
}

/// Warnings about the server, and why it may not be used.
async fn link(readiness: &Readiness, backend: &Arc<dyn Backend>, gauge: &IntGauge, stop: &CancellationToken) {
    let mut link = backend.link();
    let mut found = false;
    loop {
        let state = link.borrow_and_update().clone();
        match &state {
            LinkState::Up { server, warnings, generation } => {
                info!(server = %server, generation, "connected to the backend");
                for warning in warnings {
                    warn!("{warning}");
                }
                readiness.backend_warnings(warnings);
                gauge.set(i64::try_from(warnings.len()).unwrap_or(i64::MAX));
            }
            LinkState::Refused(why) => {
                error!("the backend must not be used: {why}");
                readiness.backend_warnings(std::slice::from_ref(why));
                gauge.set(1);
            }
            // Not connected yet is how every start begins.
            LinkState::Down(_) if !found => {}
            LinkState::Down(why) => warn!("no connection to the backend: {why}"),
        }
        found = true;
        tokio::select! {
            () = stop.cancelled() => return,
            changed = link.changed() => if changed.is_err() {
                // The backend has ended: nothing will change any more.
                return stop.cancelled().await;
            },
        }
    }
}

async fn tasks(readiness: &Readiness, supervisor: &Supervisor) {
    readiness.hold(Reason::TaskGivenUp(supervisor.given_up().await));
    std::future::pending::<()>().await;
}

async fn show(readiness: &Readiness, breakers: &Breakers) {
    loop {
        breakers.show(readiness);
        sleep(PAUSE).await;
    }
}
