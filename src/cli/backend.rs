//! The way to Valkey past the instances.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::args::Direct;
use super::check::Layers;
use super::exit::{Fault, told};
use crate::app;
use crate::backend::valkey::{Settings, Valkey};
use crate::backend::{Backend, BackendError, LinkState};
use crate::config::{self, BackendKind, Config, Sources};

/// How long connecting may take, with every attempt at it.
const CONNECT_MAX: Duration = Duration::from_secs(10);

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

/// The Valkey that the arguments name, not yet connected; `None` without `--backend`. Everything but its place is as in
/// a configuration that says nothing.
pub(super) fn connect(direct: &Direct) -> Result<Option<Arc<Valkey>>, Fault> {
    let Direct { backend: Some(url), cluster, shards } = direct else { return Ok(None) };
    let sets = [
        ("backend.url", url.reveal().to_owned()),
        ("instance.cluster", cluster.clone()),
        ("backend.shards", shards.to_string()),
    ];
    let sets = sets.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let loaded = config::load(&Sources { sets, ..Sources::default() })
        .map_err(|faults| Fault::usage(faults.iter().map(as_argument).collect::<Vec<_>>().join("\n")))?;
    valkey(&loaded.config).map(Some)
}

/// A fault by the argument that is at fault.
fn as_argument(fault: &config::Fault) -> String {
    let argument = match fault.key.as_str() {
        "instance.cluster" => "--cluster",
        "backend.shards" => "--shards",
        _ => "--backend",
    };
    format!("{argument}: {}; accepted: {}", fault.message, fault.accepted)
}

/// The Valkey that the configuration names, not yet connected.
pub(super) fn configured(layers: &Layers) -> Result<Arc<Valkey>, Fault> {
    let config = layers.load()?.config;
    match config.backend.kind {
        BackendKind::Valkey => valkey(&config),
        BackendKind::Memory => Err(Fault::usage("backend.kind is memory: there is no Valkey to ask")),
    }
}

fn valkey(config: &Config) -> Result<Arc<Valkey>, Fault> {
    // One at a time is all that a command asks.
    let settings = Settings { pool: 1, ..app::valkey_settings(config) };
    Valkey::new(settings).map_err(|error| Fault::usage(told(&error)))
}

/// Does `work` while the backend is connected; it begins once that is so.
pub(super) async fn with<T>(
    backend: &dyn Server,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let stop = CancellationToken::new();
    // Looked at from before the first attempt: its outcome is told once.
    let link = backend.link();
    let working = async {
        connected(link).await?;
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
async fn connected(mut link: watch::Receiver<LinkState>) -> Result<(), Fault> {
    if !matches!(*link.borrow(), LinkState::Up { .. }) {
        match timeout(CONNECT_MAX, link.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Fault::unreachable("the backend gave up")),
            Err(_) => {
                let time = humantime::format_duration(CONNECT_MAX);
                return Err(Fault::unreachable(format!("the backend is not there within {time}")));
            }
        }
    }
    match &*link.borrow() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_outcome_counts_however_soon_it_is_there() {
        let outcomes = [
            (LinkState::Refused("too old".to_owned()), "the backend must not be used: too old"),
            (LinkState::Down("refused".to_owned()), "the backend is not reachable: refused"),
        ];
        for (outcome, told) in outcomes {
            let (state, link) = watch::channel(LinkState::Down("not connected yet".to_owned()));
            state.send_replace(outcome);
            assert_eq!(connected(link).await, Err(Fault::unreachable(told)));
        }
    }
}
