//! The commands that talk to instances, or past them to Valkey: one file a command.
//!
//! A command gets its arguments and the [`print::Print`] it may write to, and says how it ended.

mod args;
mod backend;
mod client;
mod delete;
mod entry;
mod exit;
mod get;
mod invalidate;
mod ping;
mod print;
mod put;
mod refusal;
mod status;
mod tail;
#[cfg(test)]
mod testing;

pub use exit::Exit;
use print::Print;

/// The commands that talk to others.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClientCommand {
    /// Publish one invalidation, through an instance or straight to Valkey
    Invalidate(invalidate::Args),
    /// Follow the invalidation log, a line per event, until Ctrl-C
    Tail(tail::Args),
    /// Show members, lag, breakers, write-behind and tasks of an instance
    Status(status::Args),
    /// Read a value: the body to stdout, the cache status to stderr
    Get(get::Args),
    /// Store a value
    Put(put::Args),
    /// Remove a value
    Delete(delete::Args),
    /// Ask whether Valkey is there, which version, and how long a round trip takes
    Ping(ping::Args),
}

impl ClientCommand {
    /// Runs it on the process's stdout and stderr.
    pub async fn run(self) -> Exit {
        self.run_on(&mut Print::stdio()).await
    }

    async fn run_on(self, print: &mut Print) -> Exit {
        let ended = match self {
            Self::Invalidate(args) => invalidate::run(args, print).await,
            Self::Tail(args) => tail::run(args, print).await,
            Self::Status(args) => status::run(args, print).await,
            Self::Get(args) => get::run(args, print).await,
            Self::Put(args) => put::run(args, print).await,
            Self::Delete(args) => delete::run(args, print).await,
            Self::Ping(args) => ping::run(args, print).await,
        };
        print.end(ended)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::testing::Cli;

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
