//! `coherd delete`: removes a value, at the origin too where the namespace writes there.

use hyper::Method;

use super::args::Data;
use super::entry;
use super::exit::{Exit, Fault};
use super::print::Print;
use crate::model::{Key, Namespace};

/// What to remove.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd delete users 42")]
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
    entry::run(&args.data, entry::ask(Method::DELETE, &args.namespace, &args.key), print).await
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::super::testing::{Captured, Server, run, text};
    use super::*;

    #[tokio::test]
    async fn a_removal_says_under_which_id_it_was_logged() {
        let server = Server::start(|request| {
            assert_eq!((request.method(), request.uri().path()), (&Method::DELETE, "/v1/cache/users/7"));
            let mut reply = text(204, "");
            reply.headers_mut().insert("coherd-log-id", HeaderValue::from_static("9-0"));
            reply
        })
        .await;
        let captured = Captured::default();
        let exit = run(&["delete", "users", "7", "--url", server.url()], &captured).await;
        assert_eq!((exit, captured.err().as_str()), (Exit::Done, "204 No Content\ncoherd-log-id: 9-0\n"));
    }
}
