//! Where spans go: the exporter and its task, if the configuration names a collector.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::StartError;
use crate::config::Config;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::Metrics;
use crate::telemetry::trace::{Exporter, Settings, Tracer};

/// What begins spans, and the task that exports them. It belongs to the last stage: others end spans while they stop.
pub(super) fn start(
    config: &Config,
    supervisor: &Supervisor,
    metrics: &Metrics,
) -> Result<Tracer, StartError> {
    let of = &config.tracing;
    let Some(endpoint) = of.otlp_endpoint.clone() else { return Ok(Tracer::default()) };
    let headers = of.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
    let settings = Settings {
        endpoint,
        headers: headers.collect(),
        timeout: of.timeout,
        sample: of.sample,
        instance: config.instance.id.clone(),
        cluster: config.instance.cluster.clone(),
    };
    let (tracer, exporter) = Exporter::new(&settings, &metrics.trace)?;
    let exporter = Arc::new(Mutex::new(exporter));
    supervisor.task(Stage::Backend, "telemetry.export", move |stop| {
        let exporter = Arc::clone(&exporter);
        async move {
            exporter.lock().await.run(&stop).await;
            Ok(())
        }
    });
    Ok(tracer)
}
