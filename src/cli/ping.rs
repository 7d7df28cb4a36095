//! `coherd ping`: is Valkey there, which version, and how far away.

use std::path::PathBuf;
use std::time::Duration;

use super::args::Direct;
use super::backend::{self, Server};
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::backend::LinkState;

/// How often it is asked.
const PINGS: usize = 100;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd ping --backend valkey://127.0.0.1:6379/0")]
pub struct Args {
    /// A configuration file, read before the environment; may be repeated
    #[arg(short, long = "config", value_name = "FILE", conflicts_with = "backend")]
    config: Vec<PathBuf>,
    #[command(flatten)]
    direct: Direct,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    let valkey = match backend::connect(&args.direct)? {
        Some(valkey) => valkey,
        None => backend::configured(&args.config)?,
    };
    backend::with(&*valkey, ping(&*valkey, print)).await
}

async fn ping(backend: &impl Server, print: &mut Print) -> Result<Exit, Fault> {
    if let LinkState::Up { warnings, .. } = &*backend.link().borrow() {
        for warning in warnings {
            print.note(&format!("coherd: {warning}"));
        }
    }
    let mut times = Vec::with_capacity(PINGS);
    let mut server = String::new();
    for _ in 0..PINGS {
        let (time, name) = backend.ping().await.map_err(|error| backend::fault(&error))?;
        times.push(time);
        server = name;
    }
    times.sort();
    let [min, median, max] = [0, PINGS / 2, PINGS - 1].map(|at| millis(times[at]));
    print.line(&format!("{server}: round trip min {min} median {median} max {max} of {PINGS}"))?;
    Ok(Exit::Done)
}

fn millis(time: Duration) -> String {
    format!("{:.3}ms", time.as_secs_f64() * 1e3)
}
