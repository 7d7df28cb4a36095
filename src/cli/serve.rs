//! `coherd serve`: one instance, until it is told to stop.

use std::time::Duration;

use tokio::time::timeout;
use tracing::error;

use super::check::Layers;
use super::exit::{Exit, Fault, told};
use crate::app::{self, Instance};
use crate::backend::LinkState;
use crate::config::{Config, LogFormat};
use crate::supervisor::Signals;
use crate::telemetry::logging;

/// Beyond `backend.connect_timeout`, for `--require-backend`: the handshakes.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// How to run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd serve -c config/coherd.toml --set server.listen=127.0.0.1:8081")]
pub struct Args {
    #[command(flatten)]
    layers: Layers,
    /// End with 3 if the backend is not there, instead of starting detached
    #[arg(long)]
    require_backend: bool,
}

/// Runs until a signal, a refusal or a task that cannot be kept alive.
pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let config = args.layers.load()?.config;
    log(&config)?;
    super::runtime(config.server.workers)?.block_on(serve(args, &config))
}

async fn serve(args: &Args, config: &Config) -> Result<Exit, Fault> {
    let signals = Signals::listen().map_err(|error| Fault::failed(told(&error)))?;
    let backend = app::backend(config).map_err(|error| Fault::usage(told(&error)))?;
    let mut link = backend.link();
    let instance = Instance::start(config, backend).await.map_err(|error| Fault::failed(told(&error)))?;

    if args.require_backend {
        let patience = config.backend.connect_timeout + HANDSHAKE;
        let up = link.wait_for(|state| !matches!(state, LinkState::Down(_)));
        if timeout(patience, up).await.is_err() {
            instance.stop().await;
            return Err(Fault::unreachable("the backend is not there, and --require-backend was given"));
        }
    }
    let ended = tokio::select! {
        () = signals.stop_requested() => Ok(Exit::Done),
        task = instance.given_up() => {
            error!(task, "task `{task}` cannot be kept alive, ending");
            Ok(Exit::Failed)
        }
        why = instance.refused() => Err(Fault::unreachable(format!("the backend must not be used: {why}"))),
    };
    instance.stop().await;
    ended
}

fn log(config: &Config) -> Result<(), Fault> {
    let format = match config.log.format {
        LogFormat::Auto => logging::Format::Auto,
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    logging::init(format, &config.log.level).map_err(|error| Fault::usage(told(&error)))
}
