//! The binary: the command line and the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use coherd::cli::Cli;
use mimalloc::MiMalloc;

// A miss takes a fifth less of the processor with it than with the system's, and an entry of L1 some bytes less.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    Cli::parse().command.run().into()
}
