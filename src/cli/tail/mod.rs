//! `coherd tail`: follows the invalidation log.

mod instance;
mod line;
mod log;
pub(super) mod sse;

use std::future::pending;
use std::str::FromStr;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{Admin, Direct};
use super::backend;
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::model::{LogId, LogIdError};
use line::Form;

/// What to follow, and from where.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  coherd tail --json --from start --backend valkey://127.0.0.1:6379/0 | jq .tags"
)]
pub struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// The first event: an id such as 1234-0, the start of the log, or from now on. All but now need --backend
    #[arg(long, value_name = "ID|start|now", default_value = "now")]
    from: From,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    direct: Direct,
}

/// The first event to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The oldest that the log still has.
    Start,
    /// The next.
    Now,
    /// This one; in shards that it is not in, the next.
    Id(LogId),
}

impl FromStr for From {
    type Err = LogIdError;

    fn from_str(text: &str) -> Result<Self, LogIdError> {
        match text {
            "start" => Ok(Self::Start),
            "now" => Ok(Self::Now),
            id => id.parse().map(Self::Id),
        }
    }
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    let form = if args.json { Form::Json } else { Form::Human };
    let valkey = backend::connect(&args.direct)?;
    if valkey.is_none() && args.from != From::Now {
        return Err(Fault::usage(
            "an instance tells only what it applies from now on: --from reads the log itself, which needs --backend URL",
        ));
    }
    let following = async {
        match valkey {
            Some(valkey) => backend::with(&*valkey, log::follow(&*valkey, &args.from, form, print)).await,
            None => instance::follow(&args.admin, form, print).await,
        }
    };
    tokio::select! {
        () = interrupted() => Ok(Exit::Done),
        followed = following => followed,
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process.
        return pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Captured, run};
    use super::*;

    #[test]
    fn where_to_begin_is_an_id_or_a_word() {
        assert_eq!("start".parse(), Ok(From::Start));
        assert_eq!("now".parse(), Ok(From::Now));
        assert_eq!("7-0.3,9-0".parse(), Ok(From::Id("7-0.3,9-0".parse().unwrap())));
        assert!("yesterday".parse::<From>().is_err());
    }

    #[tokio::test]
    async fn the_past_needs_the_log() {
        for from in ["start", "7-0"] {
            let captured = Captured::default();
            let exit = run(&["tail", "--from", from, "--admin-url", "http://127.0.0.1:1"], &captured).await;
            assert_eq!(exit, Exit::Usage);
            assert!(captured.err().contains("needs --backend URL"), "{}", captured.err());
        }
        assert_eq!(run(&["tail", "--from", "yesterday"], &Captured::default()).await, Exit::Usage);
    }
}
