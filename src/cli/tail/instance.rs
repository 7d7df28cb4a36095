//! The log as an instance applies it: `GET /events`.

use hyper::Method;
use hyper::header::{ACCEPT, HeaderValue};
use serde::Deserialize;

use super::super::args::Admin;
use super::super::client::{Ask, Client};
use super::super::exit::{Exit, Fault};
use super::super::print::Print;
use super::super::refusal::succeeded;
use super::line::Form;
use super::sse::{Item, Parser};

/// What an instance says of its being attached to the log.
#[derive(Debug, Deserialize)]
struct Attachment {
    attached: bool,
}

/// Shows events as the instance applies them. It ends, as a failure, when the instance ends the stream: what it applies
/// meanwhile would be missing from another.
pub(super) async fn follow(admin: &Admin, form: Form, print: &mut Print) -> Result<Exit, Fault> {
    let mut ask = Ask::new(Method::GET, "/events");
    ask.headers.push((ACCEPT, HeaderValue::from_static("text/event-stream")));
    let answer = Client::new(&admin.admin_url, &admin.access)?.send(ask).await?;
    let mut answer = succeeded(answer).await?;
    let (mut parser, mut items) = (Parser::default(), Vec::new());
    while let Some(piece) = answer.next().await? {
        parser.feed(&piece, &mut items).map_err(|error| Fault::failed(error.to_string()))?;
        for item in items.drain(..) {
            show(item, form, print)?;
        }
    }
    Err(Fault::failed(format!("{} ended the stream: events from here on are not shown", answer.url())))
}

fn show(item: Item, form: Form, print: &mut Print) -> Result<(), Fault> {
    match item {
        Item::Event { kind, data } if kind == "invalidation" => return form.show(&data, print),
        Item::Event { kind, data } if kind == "attachment" => {
            if let Ok(Attachment { attached }) = serde_json::from_str(&data) {
                let now = if attached { "is attached to" } else { "is cut off from" };
                print.note(&format!("coherd: the instance {now} the log"));
            }
        }
        // Tasks of the instance.
        Item::Event { .. } => {}
        Item::Comment(text) => print.note(&format!("coherd: the instance says: {text}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Captured, Server, pieces, run, text};
    use super::*;

    const STREAM: [&str; 4] = [
        ":\n\nevent: invalidation\nid: 7-0\nda",
        "ta: {\"id\":\"7-0\",\"at\":\"t\",\"path\":\"pubsub\",\"tags\":[\"a\"]}\n\n",
        "event: task\ndata: {\"task\":\"x\"}\n\nevent: attachment\ndata: {\"shard\":0,\"attached\":false}\n\n",
        "event: invalidation\ndata: {\"id\":\"8-0\",\"at\":\"t\",\"path\":\"stream\",\"tags\":[\"b\"]}\n\n",
    ];

    #[tokio::test]
    async fn events_are_shown_as_they_come() {
        let server = Server::start(|request| {
            assert_eq!(request.uri().path(), "/events");
            assert_eq!(request.headers()["authorization"], "Bearer t0ken");
            pieces(&STREAM, false)
        })
        .await;
        let captured = Captured::default();
        let line = ["tail", "--token", "t0ken", "--admin-url", server.url()];
        tokio::select! {
            exit = run(&line, &captured) => panic!("{exit:?}: {}", captured.err()),
            () = captured.lines(2) => {}
        }
        assert_eq!(captured.out(), "t 7-0 hard tag=a via=pubsub\nt 8-0 hard tag=b via=stream\n");
        assert_eq!(captured.err(), "coherd: the instance is cut off from the log\n");
    }

    #[tokio::test]
    async fn a_stream_that_ends_is_told_and_a_refusal_too() {
        let server =
            Server::start(|_| pieces(&[": 3 events were lost on the way, read the log\n\n"], true)).await;
        let captured = Captured::default();
        assert_eq!(run(&["tail", "--json", "--admin-url", server.url()], &captured).await, Exit::Failed);
        assert!(captured.err().contains("3 events were lost"), "{}", captured.err());
        assert!(captured.err().contains("ended the stream"), "{}", captured.err());
        let server =
            Server::start(|_| text(401, r#"{"code":"unauthorized","detail":"a token is needed"}"#)).await;
        let captured = Captured::default();
        assert_eq!(run(&["tail", "--admin-url", server.url()], &captured).await, Exit::Failed);
        assert!(captured.err().contains("unauthorized: a token is needed"), "{}", captured.err());
    }
}
