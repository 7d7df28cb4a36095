//! The binary: the command line and the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use coherd::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().command.run().into()
}
