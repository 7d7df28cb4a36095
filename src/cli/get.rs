//! `coherd get`: reads a value.

use hyper::Method;

use super::args::Data;
use super::entry;
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::model::{Key, Namespace};

/// What to read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd get users 42 > user.json")]
pub struct Args {
    /// The namespace
    #[arg(value_parser = entry::namespace)]
    namespace: Namespace,
    /// The key; it may hold slashes
    #[arg(value_parser = entry::key)]
    key: Key,
    #[command(flatten)]
    data: Data,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    entry::run(&args.data, entry::ask(Method::GET, &args.namespace, &args.key), print).await
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::super::testing::{Captured, Server, pieces, run, text};
    use super::*;

    #[tokio::test]
    async fn the_value_goes_to_stdout_and_the_cache_status_to_stderr() {
        let server = Server::start(|request| {
            assert_eq!((request.method(), request.uri().path()), (&Method::GET, "/v1/cache/users/eu/7%20b"));
            let mut reply = pieces(&["{\"a\"", ":1}"], true);
            reply
                .headers_mut()
                .insert("cache-status", HeaderValue::from_static("coherd; hit; ttl=41; detail=l1"));
            reply
        })
        .await;
        let captured = Captured::default();
        let exit = run(&["get", "users", "eu/7 b", "--url", server.url()], &captured).await;
        assert_eq!((exit, captured.out().as_str()), (Exit::Done, "{\"a\":1}"));
        assert_eq!(captured.err(), "200 OK\ncache-status: coherd; hit; ttl=41; detail=l1\n");
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_its_code_and_nothing_goes_to_stdout() {
        let server = Server::start(|_| {
            let problem =
                r#"{"type":"about:blank","status":404,"code":"not_found","detail":"the origin has none"}"#;
            let mut reply = text(404, problem);
            reply.headers_mut().insert("coherd-lease", HeaderValue::from_static("l3ase"));
            reply
        })
        .await;
        let captured = Captured::default();
        let exit = run(&["get", "users", "7", "--url", server.url()], &captured).await;
        assert_eq!((exit, captured.out().as_str()), (Exit::Failed, ""));
        assert_eq!(captured.err(), "404 Not Found: not_found: the origin has none\ncoherd-lease: l3ase\n");
    }

    #[tokio::test]
    async fn what_is_no_problem_is_quoted() {
        let server = Server::start(|_| text(502, "\x1b[31mbad gateway\n")).await;
        let captured = Captured::default();
        assert_eq!(run(&["get", "users", "7", "--url", server.url()], &captured).await, Exit::Failed);
        assert_eq!(captured.err(), "502 Bad Gateway: \\u{1b}[31mbad gateway\n");
    }

    #[tokio::test]
    async fn a_namespace_or_key_that_cannot_be_one_is_bad_usage() {
        let captured = Captured::default();
        assert_eq!(run(&["get", "Users", "7"], &captured).await, Exit::Usage);
        assert_eq!(run(&["get", "users", ""], &captured).await, Exit::Usage);
    }
}
