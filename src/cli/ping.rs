//! `coherd ping`: is Valkey there, which version, and how far away.

use std::time::Duration;

use super::args::Direct;
use super::backend::{self, Server};
use super::check::Layers;
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::backend::LinkState;

/// How often it is asked.
const PINGS: usize = 100;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd ping --backend valkey://127.0.0.1:6379/0")]
pub struct Args {
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    direct: Direct,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    if args.direct.backend.is_some() && !args.layers.is_empty() {
        return Err(Fault::usage("--backend goes with neither -c nor --set: both say where Valkey is"));
    }
    let valkey = match backend::connect(&args.direct)? {
        Some(valkey) => valkey,
        None => backend::configured(&args.layers)?,
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
