//! The commands, one file or folder each.
//!
//! A command gets its arguments and the `print::Print` it may write to, and says how it ended.

mod args;
mod backend;
mod check;
mod client;
mod completions;
mod delete;
mod demo;
mod entry;
mod exit;
mod explain;
pub(crate) mod fuzzing;
mod get;
mod invalidate;
mod ping;
mod print;
mod put;
mod refusal;
mod serve;
mod sql;
mod status;
mod tail;
#[cfg(test)]
mod testing;
mod writes;

use tokio::runtime::Runtime;

pub use exit::Exit;

use exit::Fault;
use print::Print;

/// Keeps several instances' caches coherent: two tiers before an origin, invalidated everywhere within a stated bound
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "coherd", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Show it: three instances in one process and a short tour, with nothing installed
    Demo(demo::Args),
    /// Run one instance
    Serve(serve::Args),
    /// Check the configuration and print what is in effect
    Check(check::Args),
    /// Publish one invalidation, through an instance or straight to Valkey
    Invalidate(invalidate::Args),
    /// Follow the invalidation log, a line per event, until Ctrl-C
    Tail(tail::Args),
    /// Show members, lag, breakers, write-behind and tasks of an instance
    Status(status::Args),
    /// Show why an instance answers a key as it does
    Explain(explain::Args),
    /// Writes that wait for their origin, and those that were given up
    Writes(writes::Args),
    /// Read a value: the body to stdout, the cache status to stderr
    Get(get::Args),
    /// Store a value
    Put(put::Args),
    /// Remove a value
    Delete(delete::Args),
    /// Ask whether Valkey is there, which version, and how long a round trip takes
    Ping(ping::Args),
    /// Print the SQL that has a database publish its changes
    Sql(sql::Args),
    /// Print a shell's completions
    Completions(completions::Args),
}

impl Command {
    /// Runs it on the process's stdout and stderr.
    pub fn run(self) -> Exit {
        let mut print = Print::stdio();
        let ended = match self {
            // It says itself how many threads it wants.
            Self::Serve(args) => serve::run(&args),
            other => runtime(0).and_then(|runtime| runtime.block_on(other.run_on(&mut print))),
        };
        print.end(ended)
    }

    async fn run_on(self, print: &mut Print) -> Result<Exit, Fault> {
        match self {
            Self::Serve(args) => serve::run(&args),
            Self::Demo(args) => demo::run(args, print).await,
            Self::Check(args) => check::run(&args, print),
            Self::Completions(args) => completions::run(&args, print),
            Self::Sql(args) => sql::run(args, print),
            Self::Invalidate(args) => invalidate::run(args, print).await,
            Self::Tail(args) => tail::run(args, print).await,
            Self::Status(args) => status::run(args, print).await,
            Self::Explain(args) => explain::run(args, print).await,
            Self::Writes(args) => writes::run(args, print).await,
            Self::Get(args) => get::run(args, print).await,
            Self::Put(args) => put::run(args, print).await,
            Self::Delete(args) => delete::run(args, print).await,
            Self::Ping(args) => ping::run(args, print).await,
        }
    }
}

/// A runtime of so many threads; 0: one per core.
fn runtime(threads: usize) -> Result<Runtime, Fault> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads != 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().map_err(|error| Fault::failed(format!("no runtime: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn every_command_says_what_it_does_and_gives_an_example() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
            let help = command.render_long_help().to_string();
            assert!(help.contains(&format!("Example:\n  coherd {}", command.get_name())), "{help}");
            let about = command.get_about().unwrap().to_string();
            assert!(
                !about.contains("listener is") && !about.contains("Who asks"),
                "of a shared group: {about}"
            );
        }
    }

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
