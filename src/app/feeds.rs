//! From `[[sources]]` to the tasks that read them.

use std::sync::Arc;

use super::StartError;
use crate::backend::valkey::{StreamSettings, ValkeyStreams};
use crate::coherence::Coherence;
use crate::config::{Config, DebeziumSource, DebeziumTable, PostgresSource, Snapshot, SourceKind};
use crate::feeds::{Gauges, debezium, postgres};
use crate::model::Namespace;
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
                let refused = |source| StartError::Source { name: name.clone(), source };
                let source = postgres::Source::new(outbox(name, of), coherence, gauges).map_err(refused)?;
                source.start(supervisor);
            }
            SourceKind::Debezium(of) => {
                let streams = ValkeyStreams::new(streams(config, of)).map_err(StartError::Backend)?;
                debezium::Source::new(changes(name, of)?, streams, coherence, gauges).start(supervisor);
            }
        }
    }
    Ok(())
}

fn outbox(name: &str, of: &PostgresSource) -> postgres::Settings {
    postgres::Settings {
        name: name.to_owned(),
        url: of.url.expose().to_owned(),
        password: of.password.as_ref().map(|it| it.expose().to_owned()),
        outbox: of.outbox.clone(),
        channel: of.channel.clone(),
        batch: of.batch,
        poll_interval: of.poll_interval,
    }
}

/// Without a URL of its own a source has its streams where the backend is.
fn streams(config: &Config, of: &DebeziumSource) -> StreamSettings {
    let backend = &config.backend;
    let (url, username, password, ca_file) = match &of.url {
        Some(url) => (url, &url.username, &of.password, &of.ca_file),
        None => (&backend.url, &backend.username, &backend.password, &backend.ca_file),
    };
    let mut names: Vec<Arc<str>> = of.tables.iter().map(|table| Arc::from(&*table.stream)).collect();
    names.sort_unstable();
    names.dedup();
    StreamSettings {
        url: url.without_credentials().to_string(),
        username: username.clone(),
        password: password.as_ref().map(|it| it.expose().to_owned()),
        ca_file: ca_file.clone(),
        connect_timeout: backend.connect_timeout,
        command_timeout: backend.command_timeout,
        streams: names,
        group: of.group.clone(),
        delete: of.delete,
    }
}

fn changes(name: &str, of: &DebeziumSource) -> Result<debezium::Settings, StartError> {
    let template = |text: &String| {
        text.parse::<debezium::Template>().map_err(|error| StartError::Config(format!("`{text}`: {error}")))
    };
    let mapping = |table: &DebeziumTable| {
        Ok(debezium::Mapping {
            stream: Arc::from(&*table.stream),
            table: table.table.clone(),
            namespace: Namespace::new(&table.namespace)
                .map_err(|error| StartError::Config(error.to_string()))?,
            key: table.key.as_ref().map(template).transpose()?,
            tags: table.tags.iter().map(template).collect::<Result<_, _>>()?,
        })
    };
    Ok(debezium::Settings {
        name: name.to_owned(),
        mappings: of.tables.iter().map(mapping).collect::<Result<_, StartError>>()?,
        null: of.null.clone(),
        ignore_snapshot: of.snapshot == Snapshot::Ignore,
        batch: of.batch,
    })
}
