//! `coherd completions`: what a shell needs to complete this command line.

use clap::CommandFactory as _;

use super::Cli;
use super::exit::{Exit, Fault};
use super::print::Print;

/// Which shell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd completions bash > /etc/bash_completion.d/coherd")]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the shell's script.
pub(super) fn run(args: &Args, print: &mut Print) -> Result<Exit, Fault> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "coherd", &mut script);
    print.bytes(&script)?;
    Ok(Exit::Done)
}
