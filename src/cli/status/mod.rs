//! `coherd status`: an instance's statistics, readable.

mod stats;
mod table;

use hyper::{Method, StatusCode};

use super::args::Admin;
use super::client::{Ask, Client};
use super::exit::{Exit, Fault};
use super::print::Print;
use super::refusal::succeeded;
use stats::{Readiness, Stats};

/// The longest document that is read, in bytes.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd status --admin-url http://10.0.0.7:9080")]
pub struct Args {
    /// The document of the instance's /stats as it is
    #[arg(long)]
    json: bool,
    /// Only whether requests may be sent there, and 1 if not: for health checks, without a token
    #[arg(long, conflicts_with = "json")]
    ready: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    let client = Client::new(&args.admin.admin_url, &args.admin.access)?;
    if args.ready {
        let readiness = readiness(&client).await?;
        print.line(&readiness.line())?;
        return Ok(if readiness.ready { Exit::Done } else { Exit::Failed });
    }
    let mut answer = succeeded(client.send(Ask::new(Method::GET, "/stats")).await?).await?;
    let document = answer.whole(DOCUMENT_BYTES_MAX).await?;
    if args.json {
        print.document(&document)?;
        return Ok(Exit::Done);
    }
    let stats: Stats = answer.read(&document)?;
    for line in stats.lines(&readiness(&client).await?) {
        print.line(&line)?;
    }
    Ok(Exit::Done)
}

async fn readiness(client: &Client) -> Result<Readiness, Fault> {
    let mut answer = client.send(Ask::new(Method::GET, "/readyz")).await?;
    if answer.status != StatusCode::SERVICE_UNAVAILABLE {
        answer = succeeded(answer).await?;
    }
    let document = answer.whole(DOCUMENT_BYTES_MAX).await?;
    answer.read(&document)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::testing::{Captured, Reply, Server, run, text};
    use super::*;

    const STATS: &str = r#"{"instance":"a","cluster":"main","uptime_s":61,"attached":true,
        "log":{"cursor":"7-0","head":"9-0","lag_events":2,"lag_ms":1},"namespaces":{},
        "members":[{"id":"a","cursor":"7-0","lag_ms":250,"alive":true}],"breakers":{},
        "writes":{"pending":0,"oldest_s":0.0,"dead":0},"tasks":{}}"#;

    fn instance(readyz: u16) -> impl Fn(hyper::Request<Bytes>) -> Reply {
        move |request| match request.uri().path() {
            "/stats" if request.headers()["authorization"] == "Bearer t0ken" => text(200, STATS),
            "/readyz" if readyz == 200 => text(200, r#"{"ready":true,"reasons":[],"degraded":["detached"]}"#),
            "/readyz" => text(readyz, r#"{"ready":false,"reasons":["draining"],"degraded":[]}"#),
            _ => text(404, ""),
        }
    }

    #[tokio::test]
    async fn it_is_readable_and_says_whether_the_instance_is_ready() {
        for (readyz, said) in [(200, "ready, degraded: detached"), (503, "NOT READY: draining")] {
            let server = Server::start(instance(readyz)).await;
            let captured = Captured::default();
            let line = ["status", "--url", server.url(), "--token", "t0ken"];
            assert_eq!(run(&line, &captured).await, Exit::Done, "{}", captured.err());
            assert!(captured.out().contains(said), "{}", captured.out());
            assert!(captured.out().contains("MEMBER"), "{}", captured.out());
        }
    }

    #[tokio::test]
    async fn for_a_health_check_the_exit_code_says_whether_it_is_ready_and_nobody_asks_for_a_token() {
        for (readyz, exit, said) in
            [(200, Exit::Done, "ready, degraded: detached\n"), (503, Exit::Failed, "NOT READY: draining\n")]
        {
            let server = Server::start(instance(readyz)).await;
            let captured = Captured::default();
            assert_eq!(run(&["status", "--ready", "--url", server.url()], &captured).await, exit);
            assert_eq!((captured.out(), captured.err()), (said.to_owned(), String::new()));
        }
        let captured = Captured::default();
        let nobody = ["status", "--ready", "--url", "http://127.0.0.1:9"];
        assert_eq!(run(&nobody, &captured).await, Exit::Unreachable);
    }

    #[tokio::test]
    async fn json_is_the_document_as_it_is() {
        let server = Server::start(instance(503)).await;
        let captured = Captured::default();
        let line = ["status", "--json", "--admin-url", server.url(), "--token", "t0ken"];
        assert_eq!((run(&line, &captured).await, captured.out()), (Exit::Done, format!("{STATS}\n")));
    }

    #[tokio::test]
    async fn an_answer_of_something_else_is_told() {
        let server = Server::start(|_| text(200, "<html>")).await;
        let captured = Captured::default();
        assert_eq!(run(&["status", "--admin-url", server.url()], &captured).await, Exit::Failed);
        assert!(captured.err().contains("/stats does not read as expected"), "{}", captured.err());
    }
}
