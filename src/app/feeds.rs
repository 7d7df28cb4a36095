//! From `[[sources]]` to the tasks that read them.

use std::sync::Arc;

use super::StartError;
use crate::coherence::Coherence;
use crate::config::{Config, SourceKind};
use crate::feeds::{Gauges, postgres};
use crate::supervisor::Supervisor;
use crate::telemetry::{Metrics, Readiness};

/// Starts every source.
pub(super) fn start(
    config: &Config,
    coherence: &Arc<Coherence>,
    supervisor: &Supervisor,
    readiness: &Readiness,
    metrics: &Metrics,
) -> Result<(), StartError> {
    for source in &config.sources {
        let name = &source.name;
        let gauges = Gauges::new(name, readiness, metrics.sources.of(name));
        match &source.kind {
            SourceKind::Postgres(of) => {
                let settings = postgres::Settings {
                    name: name.clone(),
                    url: of.url.expose().to_owned(),
                    password: of.password.as_ref().map(|it| it.expose().to_owned()),
                    outbox: of.outbox.clone(),
                    channel: of.channel.clone(),
                    batch: of.batch,
                    poll_interval: of.poll_interval,
                };
                let refused = |source| StartError::Source { name: name.clone(), source };
                postgres::Source::new(settings, coherence, gauges).map_err(refused)?.start(supervisor);
            }
        }
    }
    Ok(())
}
