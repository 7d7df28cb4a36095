//! `coherd invalidate`: publishes one invalidation.

mod direct;
mod instance;

use std::time::Duration;

use serde::Serialize;

use super::args::{Data, Direct, duration};
use super::backend;
use super::entry;
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::coherence::form::{self, FormError};
use crate::model::{Event, Namespace};

/// What is no longer true, and how long to wait until nobody says it is.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  coherd invalidate -n users --key 42 --tag team:7 --wait all --timeout 3s"
)]
pub struct Args {
    /// The namespace of keys, prefixes and --all; tags are cluster-wide
    #[arg(short, long, value_name = "NS", value_parser = entry::namespace)]
    namespace: Option<Namespace>,
    /// A key; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// A tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The beginning of keys, up to a / or a :; may be repeated
    #[arg(long = "prefix", value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Everything in the namespace; without one, everything in the cluster
    #[arg(long)]
    all: bool,
    /// Make copies stale instead of dropping them
    #[arg(long)]
    soft: bool,
    /// Refuse a prefix that ends on no boundary instead of widening it
    #[arg(long)]
    exact: bool,
    /// Who says so, for logs and the tail
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    source: String,
    /// Why, for logs and the tail
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// An id of the request: seen again within a minute, nothing is logged twice
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Return once the log has it (none), or once no instance answers with anything older (all)
    #[arg(long, value_enum, default_value_t = Wait::None)]
    wait: Wait,
    /// How long to wait with --wait all; by default as long as it takes at the most
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    direct: Direct,
}

/// For what to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wait {
    /// The log.
    None,
    /// All instances.
    All,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    if args.timeout.is_some() && args.wait == Wait::None {
        return Err(Fault::usage("--timeout goes with --wait all"));
    }
    let body = serde_json::to_vec(&Body::of(&args)).expect("strings, lists and flags are always JSON");
    // What no instance would take needs none to be refused.
    let event: Event = form::from_json(&body).map_err(|error| match error {
        FormError::NoNamespace => Fault::usage("--key and --prefix need a namespace: -n NS"),
        FormError::NoTarget => Fault::usage("nothing is named: give --key, --tag, --prefix or --all"),
        error => Fault::usage(error.to_string()),
    })?;
    let Some(valkey) = backend::connect(&args.direct)? else {
        return instance::publish(&args, body, print).await;
    };
    if args.wait == Wait::All {
        return Err(Fault::usage(
            "--wait all needs an instance, which knows who else may answer: leave --backend out",
        ));
    }
    backend::with(&*valkey, direct::publish(&*valkey, event, args.exact, print)).await
}

/// The JSON form of an event.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    keys: &'a [String],
    prefixes: &'a [String],
    all: bool,
    tags: &'a [String],
    soft: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn of(args: &'a Args) -> Self {
        Self {
            namespace: args.namespace.as_deref(),
            keys: &args.keys,
            prefixes: &args.prefixes,
            all: args.all,
            tags: &args.tags,
            soft: args.soft,
            source: &args.source,
            reason: &args.reason,
            request_id: args.request_id.as_deref(),
        }
    }
}

/// Says what a prefix that ends on no boundary was taken for.
fn tell_widened<'a>(widened: impl IntoIterator<Item = (&'a str, &'a str)>, print: &mut Print) {
    for (from, to) in widened {
        let to = if to.is_empty() { "the whole namespace".to_owned() } else { format!("`{to}`") };
        print.note(&format!("prefix `{from}` ends on no boundary (`/` or `:`) and was widened to {to}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Captured, run};
    use super::*;

    #[tokio::test]
    async fn what_makes_no_sense_is_bad_usage_and_asks_nobody() {
        for (line, why) in [
            (&["--key", "1"][..], "need a namespace: -n NS"),
            (&["-n", "users"], "give --key, --tag, --prefix or --all"),
            (&["--tag", "a b"], "tag `a b`"),
            (&["-n", "Users", "--all"], "namespace `Users`"),
            (&["--all", "--request-id", ""], "request_id"),
            (&["--all", "--timeout", "3s"], "--timeout goes with --wait all"),
            (&["--all", "--wait", "all", "--timeout", "3"], "time unit needed"),
            (&["--all", "--cluster", "x"], "--backend"),
            (
                &["--all", "--wait", "all", "--backend", "valkey://127.0.0.1:1"],
                "--wait all needs an instance",
            ),
            (&["--all", "--backend", "http://me:hidden@127.0.0.1:1"], "its scheme"),
        ] {
            let captured = Captured::default();
            let line = [&["invalidate", "--url", "http://127.0.0.1:1"], line].concat();
            assert_eq!(run(&line, &captured).await, Exit::Usage, "{line:?}: {}", captured.err());
            assert!(captured.err().contains(why), "{line:?}: {}", captured.err());
            assert!(!captured.err().contains("hidden"), "{}", captured.err());
        }
    }
}
