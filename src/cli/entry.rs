//! What `get`, `put` and `delete` have in common: one request about one key, and what is shown of the answer.

use hyper::Method;

use super::args::Data;
use super::client::{Answer, Ask, Client, in_path};
use super::exit::{Exit, Fault};
use super::print::Print;
use super::refusal::Refusal;
use crate::model::{Invalid, Key, Namespace};

/// Headers of an answer that say what became of the request, in the order in which they are shown.
const TOLD: [&str; 6] = [
    "cache-status",
    "coherd-instance",
    "coherd-log-id",
    "coherd-write-id",
    "coherd-durability",
    // What a program that got a 404 loads under; `put --lease` takes it.
    "coherd-lease",
];

/// Reads a namespace off the command line.
pub(super) fn namespace(text: &str) -> Result<Namespace, Invalid> {
    Namespace::new(text)
}

/// Reads a key off the command line.
pub(super) fn key(text: &str) -> Result<Key, Invalid> {
    Key::new(text)
}

/// A request about a key.
pub(super) fn ask(method: Method, namespace: &Namespace, key: &Key) -> Ask {
    Ask::new(method, format!("/v1/cache/{namespace}/{}", in_path(key)))
}

/// Sends it: the answer's body to stdout, status and cache status to stderr.
pub(super) async fn run(data: &Data, ask: Ask, print: &mut Print) -> Result<Exit, Fault> {
    let mut answer = Client::new(&data.url, &data.access)?.send(ask).await?;
    if !answer.status.is_success() {
        let refusal = Refusal::read(&mut answer).await?;
        print.note(&refusal.line());
        headers(&answer, print);
        return Ok(Exit::Failed);
    }
    print.note(&answer.status.to_string());
    headers(&answer, print);
    while let Some(piece) = answer.piece().await? {
        print.bytes(&piece)?;
    }
    Ok(Exit::Done)
}

fn headers(answer: &Answer, print: &mut Print) {
    for name in TOLD {
        if let Some(value) = answer.header(name) {
            print.note(&format!("{name}: {value}"));
        }
    }
}
