//! The way to Valkey past the instances.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::exit::Fault;
use crate::backend::{Backend, BackendError, LinkState};

/// How long connecting may take, with every attempt at it.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A backend that can say how far away it is.
#[async_trait]
pub(super) trait Server: Backend {
    /// How long one PING takes, and what answers it, such as `valkey 9.1.2`.
    async fn ping(&self) -> Result<(Duration, String), BackendError>;
}

/// The Valkey at `url`, not yet connected.
pub(super) fn connect(_url: &str, _cluster: &str) -> Result<Arc<dyn Server>, BackendError> {
    Err(BackendError::Refused("this build reaches Valkey only through an instance".to_owned()))
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
