//! An invalidation through an instance: `POST /v1/invalidate`.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::super::client::{Ask, Client};
use super::super::exit::{Exit, Fault};
use super::super::print::Print;
use super::super::refusal::{Refusal, succeeded};
use super::{Args, Wait, tell_widened};

/// The longest answer that is read, in bytes: a thousand widened prefixes and as many members.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The longest that an instance waits for the others without being told how long.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// What an instance says of an event that is logged.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Logged {
    id: String,
    applied: Vec<String>,
    missing: Vec<String>,
    mode: String,
    widened: BTreeMap<String, String>,
}

/// Publishes it and prints the id; with `--wait all`, who has applied it.
pub(super) async fn publish(args: &Args, body: Vec<u8>, print: &mut Print) -> Result<Exit, Fault> {
    let client = Client::new(&args.data.url, &args.data.access)?;
    let mut ask = Ask::new(Method::POST, path(args));
    ask.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    ask.body = body.into();
    if args.wait == Wait::All {
        ask.patience += args.timeout.unwrap_or(WAIT_MAX);
    }
    let mut answer = client.send(ask).await?;
    if answer.status == StatusCode::GATEWAY_TIMEOUT {
        let refusal = Refusal::read(&mut answer).await?;
        if let Ok(logged) = serde_json::from_value::<Logged>(refusal.problem.clone())
            && !logged.id.is_empty()
        {
            print.line(&logged.id)?;
            tell_members(&logged, print)?;
        }
        return Err(Fault::failed(format!("{} answered {}", answer.url(), refusal.line())));
    }
    let mut answer = succeeded(answer).await?;
    let whole = answer.whole(ANSWER_BYTES_MAX).await?;
    let logged: Logged = serde_json::from_slice(&whole).map_err(|error| {
        Fault::failed(format!("the answer of {} does not read as expected: {error}", answer.url()))
    })?;
    print.line(&logged.id)?;
    tell_widened(logged.widened.iter().map(|(from, to)| (from.as_str(), to.as_str())), print);
    if args.wait == Wait::All {
        tell_members(&logged, print)?;
        if logged.mode == "late" && !logged.missing.is_empty() {
            print.note(
                "those that are missing can no longer answer with anything older: their leases ran out",
            );
        }
    }
    Ok(Exit::Done)
}

fn tell_members(logged: &Logged, print: &mut Print) -> Result<(), Fault> {
    for (name, members) in [("applied", &logged.applied), ("missing", &logged.missing)] {
        if !members.is_empty() {
            print.line(&format!("{name}: {}", members.join(", ")))?;
        }
    }
    Ok(())
}

fn path(args: &Args) -> String {
    let mut query = Vec::new();
    if args.wait == Wait::All {
        query.push("wait=all".to_owned());
        // Only units that stand in a query as they are.
        query.extend(args.timeout.map(|timeout| format!("timeout={}ms", timeout.as_millis().max(1))));
    }
    if args.exact {
        query.push("exact=true".to_owned());
    }
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/v1/invalidate{mark}{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::testing::{Captured, Server, run, text};
    use super::*;

    #[tokio::test]
    async fn an_event_is_sent_as_it_was_meant_and_its_id_is_printed() {
        let server = Server::start(|request| {
            assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/v1/invalidate?exact=true"));
            assert_eq!(request.headers()["content-type"], "application/json");
            let event: Value = serde_json::from_slice(request.body()).unwrap();
            let expected = json!({
                "namespace": "users", "keys": ["1", "2"], "prefixes": ["eu/"], "all": false, "tags": ["team:7"],
                "soft": true, "source": "billing", "reason": "plan changed", "request_id": "r1",
            });
            assert_eq!(event, expected);
            text(202, r#"{"id":"7-0","applied":[],"missing":[]}"#)
        })
        .await;
        let captured = Captured::default();
        let line =
            ["invalidate", "-n", "users", "--key", "1", "--key", "2", "--prefix", "eu/", "--tag", "team:7"];
        let more =
            ["--soft", "--exact", "--source", "billing", "--reason", "plan changed", "--request-id", "r1"];
        let exit = run(&[&line[..], &more, &["--url", server.url()]].concat(), &captured).await;
        assert_eq!((exit, captured.out().as_str(), captured.err().as_str()), (Exit::Done, "7-0\n", ""));
    }

    #[tokio::test]
    async fn who_waits_is_told_who_has_applied_it() {
        let server = Server::start(|request| {
            assert_eq!(request.uri().query(), Some("wait=all&timeout=1500ms"));
            let answer =
                r#"{"id":"7-0","applied":["a","b"],"missing":["c"],"mode":"late","widened":{"eu":""}}"#;
            text(200, answer)
        })
        .await;
        let captured = Captured::default();
        let line = ["invalidate", "-n", "users", "--prefix", "eu", "--wait", "all", "--timeout", "1500ms"];
        let exit = run(&[&line[..], &["--url", server.url()]].concat(), &captured).await;
        assert_eq!((exit, captured.out().as_str()), (Exit::Done, "7-0\napplied: a, b\nmissing: c\n"));
        assert!(captured.err().contains("widened to the whole namespace"), "{}", captured.err());
        assert!(captured.err().contains("their leases ran out"), "{}", captured.err());
    }

    #[tokio::test]
    async fn a_time_out_says_who_is_missing_and_fails() {
        let problem = r#"{"type":"about:blank","status":504,"code":"wait_timeout","detail":"not all have confirmed",
            "id":"7-0","applied":["a"],"missing":["b"]}"#;
        let server = Server::start(move |_| text(504, problem)).await;
        let captured = Captured::default();
        let exit = run(&["invalidate", "--all", "--wait", "all", "--url", server.url()], &captured).await;
        assert_eq!((exit, captured.out().as_str()), (Exit::Failed, "7-0\napplied: a\nmissing: b\n"));
        assert!(captured.err().contains("wait_timeout: not all have confirmed"), "{}", captured.err());
    }

    #[tokio::test]
    async fn a_refusal_prints_no_id() {
        let server =
            Server::start(|_| text(403, r#"{"code":"forbidden","detail":"the token may not invalidate"}"#))
                .await;
        let captured = Captured::default();
        let line = ["invalidate", "--all", "--token", "t0ken", "--url", server.url()];
        assert_eq!((run(&line, &captured).await, captured.out().as_str()), (Exit::Failed, ""));
        assert!(captured.err().contains("403 Forbidden: forbidden: the token may not"), "{}", captured.err());
        assert!(!captured.err().contains("t0ken"));
    }
}
