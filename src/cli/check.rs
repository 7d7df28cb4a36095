//! `coherd check`: the configuration, or all that is wrong with it.

use std::path::PathBuf;

use super::args::Secret;
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::config::{self, Sources};

/// Where the configuration comes from.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd check -c config/coherd.toml --set server.listen=127.0.0.1:8081")]
pub struct Args {
    #[command(flatten)]
    sources: Layers,
}

/// The layers that a command line names.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Layers {
    /// A configuration file; later ones over earlier ones
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One key's value, over files and environment
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<Secret>,
}

impl Layers {
    /// Whether the command line names none.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.sets.is_empty()
    }

    /// The configuration, or every fault, one a line.
    pub(super) fn load(&self) -> Result<config::Loaded, Fault> {
        let sets = self.sets.iter().map(|set| set.reveal().to_owned()).collect();
        let sources = Sources::with_env(self.files.clone(), sets);
        config::load(&sources).map_err(Fault::Misconfigured)
    }
}

/// Prints what is in effect.
pub(super) fn run(args: &Args, print: &mut Print) -> Result<Exit, Fault> {
    let loaded = args.sources.load()?;
    print.bytes(loaded.provenance.to_string().as_bytes())?;
    Ok(Exit::Done)
}
