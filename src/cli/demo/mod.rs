//! `coherd demo`: several instances in one process, a short tour through them, and then they go on serving.

mod database;
mod fleet;
mod seen;
mod steps;
mod tour;

use std::env;
use std::future::pending;

use super::exit::{Exit, Fault, told};
use super::print::Print;
use crate::supervisor::Signals;
use crate::telemetry::logging;

use database::Database;
use fleet::{Fleet, INSTANCES, PORTS};

/// What may stand in the environment: the narration is easier to read without a log between its lines.
const LEVEL: &str = "COHERD_LOG__LEVEL";

/// How to show it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd demo --instances 3 --port 8080")]
pub struct Args {
    /// How many instances
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(INSTANCES))]
    instances: u16,
    /// The first data port, the others follow; admin ports are 1000 higher
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(PORTS))]
    port: u16,
    /// End after the tour: with 0 only if every step showed what it says
    #[arg(long)]
    once: bool,
}

/// Runs the tour, and then, unless it is to end, until a signal.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    let level = env::var(LEVEL).unwrap_or_else(|_| "warn".to_owned());
    logging::init(logging::Format::Text, &level).map_err(|error| Fault::usage(told(&error)))?;
    let signals = Signals::listen().map_err(|error| Fault::failed(told(&error)))?;
    let mut database = Database::create().await?;
    let fleet = Fleet::start(args.instances, args.port, &database).await?;

    // What a tour that a signal cuts short has come to.
    let mut exit = if args.once { Exit::Failed } else { Exit::Done };
    let show = async {
        if !tour::run(&fleet, &mut database, print).await? {
            exit = Exit::Failed;
        } else if args.once {
            exit = Exit::Done;
        }
        if !args.once {
            tour::invite(&fleet, &database, print)?;
            pending::<()>().await;
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = show => ended,
        () = signals.stop_requested() => Ok(()),
        task = fleet.given_up() => Err(Fault::failed(format!("task `{task}` cannot be kept alive"))),
    };
    fleet.stop().await;
    match ended {
        // A tour that nobody read to its end has not shown every step.
        Ok(()) | Err(Fault::ReaderGone) => Ok(exit),
        Err(fault) => Err(fault),
    }
}
