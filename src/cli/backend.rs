//! The way to Valkey past the instances.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::args::Direct;
use super::check::Layers;
use super::exit::Fault;
use crate::app;
use crate::backend::valkey::{Settings, Valkey};
use crate::backend::{Backend, BackendError, LinkState};
use crate::config::BackendKind;
use crate::model::ShardCount;

/// How long connecting may take, with every attempt at it.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How many shards a Cluster's keys are spread over, where nothing else is said.
const SHARDS_ON_CLUSTER: u16 = 16;

/// A backend that can say how far away it is.
#[async_trait]
pub(super) trait Server: Backend {
    /// How long one PING takes, and what answers it, such as `valkey 9.1.2`.
    async fn ping(&self) -> Result<(Duration, String), BackendError>;
}

#[async_trait]
impl Server for Valkey {
    async fn ping(&self) -> Result<(Duration, String), BackendError> {
        Valkey::ping(self).await
    }
}

/// The Valkey that the arguments name, not yet connected; `None` without `--backend`.
pub(super) fn connect(direct: &Direct) -> Result<Option<Arc<Valkey>>, Fault> {
    let Direct { backend: Some(url), cluster, shards } = direct else { return Ok(None) };
    let backend = Valkey::new(settings(url.reveal(), cluster, *shards));
    backend.map(Some).map_err(|error| Fault::usage(format!("--backend: {error}")))
}

/// The Valkey that the configuration names, not yet connected.
pub(super) fn configured(layers: &Layers) -> Result<Arc<Valkey>, Fault> {
    let config = layers.load()?.config;
    if config.backend.kind == BackendKind::Memory {
        return Err(Fault::usage(
            "backend.kind = \"memory\" is within each process: there is no server to ask",
        ));
    }
    Valkey::new(app::valkey(&config)).map_err(|error| Fault::usage(error.to_string()))
}

/// What an instance would use for this URL without a configuration.
fn settings(url: &str, cluster: &str, shards: u16) -> Settings {
    let clustered = url.split_once("://").is_some_and(|(scheme, _)| scheme.ends_with("-cluster"));
    let shards = match shards {
        0 if clustered => SHARDS_ON_CLUSTER,
        other => other,
    };
    Settings {
        url: url.to_owned(),
        reader_url: None,
        username: None,
        password: None,
        ca_file: None,
        pool: 1,
        connect_timeout: Duration::from_secs(2),
        command_timeout: Duration::from_secs(2),
        cluster: cluster.to_owned(),
        shards: ShardCount::new(shards),
        log_max_events: 200_000,
        watermarks_max: 500_000,
        min_replicas_ack: 0,
    }
}

/// Does `work` while the backend is connected; it begins once that is so.
pub(super) async fn with<T>(
    backend: &dyn Server,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let stop = CancellationToken::new();
    let working = async {
        connected(backend).await?;
        work.await
    };
    tokio::select! {
        ended = backend.keep_connected(stop.clone()) => Err(match ended {
            Ok(()) => Fault::failed("the connection to the backend is not kept any more"),
            Err(error) => fault(&error),
        }),
        worked = working => worked,
    }
}

/// Waits until the first attempt to connect has an outcome.
async fn connected(backend: &dyn Server) -> Result<(), Fault> {
    let mut link = backend.link();
    if !matches!(*link.borrow_and_update(), LinkState::Up { .. }) {
        match timeout(CONNECT_MAX, link.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Fault::unreachable("the backend gave up")),
            Err(_) => {
                let time = humantime::format_duration(CONNECT_MAX);
                return Err(Fault::unreachable(format!("the backend is not there within {time}")));
            }
        }
    }
    match &*link.borrow_and_update() {
        LinkState::Up { .. } => Ok(()),
        LinkState::Down(why) => Err(Fault::unreachable(format!("the backend is not reachable: {why}"))),
        LinkState::Refused(why) => Err(Fault::unreachable(format!("the backend must not be used: {why}"))),
    }
}

/// What a failed operation means for a command.
pub(super) fn fault(error: &BackendError) -> Fault {
    match error {
        BackendError::Unavailable(_) => Fault::unreachable(error.to_string()),
        _ => Fault::failed(error.to_string()),
    }
}
