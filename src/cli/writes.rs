//! `coherd writes`: what waits for its origin, and what was given up.

use std::time::{Duration, UNIX_EPOCH};

use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::args::Admin;
use super::client::{Ask, Client};
use super::entry;
use super::exit::{Exit, Fault};
use super::print::Print;
use super::refusal::succeeded;
use crate::model::Namespace;

/// The longest document that is read, in bytes.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// Most ids at once.
const IDS_MAX: usize = 1000;
/// A dead letter is tried at its origin before the answer comes.
const RETRY_PATIENCE: Duration = Duration::from_mins(5);

/// What to do with writes that are behind.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  coherd writes pending\n  coherd writes dead users\n  coherd writes retry 1234-0"
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Writes that wait for their origin, oldest first
    Pending(Look),
    /// Writes that were given up, oldest first
    Dead(Look),
    /// Tries dead letters again, now; a newer write of the same key stands
    Retry(Letters),
    /// Drops dead letters: the writes are lost
    Drop(Letters),
}

#[derive(Clone, Debug, clap::Args)]
struct Look {
    /// Of this namespace only
    #[arg(value_parser = entry::namespace)]
    namespace: Option<Namespace>,
    /// Most writes shown
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// The instance's document as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Clone, Debug, clap::Args)]
struct Letters {
    /// Ids, as `coherd writes dead` shows them
    #[arg(required = true, num_args = 1..=IDS_MAX)]
    ids: Vec<String>,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Deserialize)]
struct PendingWrites {
    pending: Vec<Pending>,
}

#[derive(Debug, Deserialize)]
struct Pending {
    id: String,
    namespace: String,
    key: String,
    attempts: u32,
    since_ms: u64,
    error: Option<String>,
    due_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct DeadWrites {
    dead: Vec<Dead>,
}

#[derive(Debug, Deserialize)]
struct Dead {
    id: String,
    namespace: String,
    key: String,
    change: String,
    bytes: u64,
    attempts: u32,
    died_ms: u64,
    error: String,
}

#[derive(Debug, Deserialize)]
struct Retried {
    retried: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Dropped {
    dropped: u64,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    match args.what {
        What::Pending(look) => {
            let Some(PendingWrites { pending }) = fetch(&look, "pending", print).await? else {
                return Ok(Exit::Done);
            };
            for write in pending {
                let Pending { id, namespace, key, attempts, since_ms, error, due_ms } = write;
                let tried = if attempts == 0 { String::new() } else { format!(", {attempts} attempts") };
                let why =
                    error.filter(|error| !error.is_empty()).map_or(String::new(), |it| format!(", {it}"));
                let due = due_ms.map_or(String::new(), |due| format!(", again in {}", seconds(due)));
                print.line(&format!("{id}  {namespace}/{key}  since {}{tried}{due}{why}", date(since_ms)))?;
            }
        }
        What::Dead(look) => {
            let Some(DeadWrites { dead }) = fetch(&look, "dead", print).await? else { return Ok(Exit::Done) };
            for letter in dead {
                let Dead { id, namespace, key, change, bytes, attempts, died_ms, error } = letter;
                let what = if change == "put" { format!("put of {bytes} bytes") } else { change };
                let (died, tried) = (date(died_ms), format!("{attempts} attempts"));
                print.line(&format!(
                    "{id}  {namespace}/{key}  {what}, given up {died} after {tried}: {error}"
                ))?;
            }
        }
        What::Retry(letters) => {
            let Retried { retried } = post(&letters, "retry").await?;
            let mut failed = false;
            for (id, became) in retried {
                let text = match &became {
                    Value::String(word) => word.clone(),
                    Value::Object(of) => match of.get("failed").and_then(Value::as_str) {
                        Some(why) => format!("failed: {why}"),
                        None => became.to_string(),
                    },
                    other => other.to_string(),
                };
                failed |= !matches!(text.as_str(), "applied" | "superseded");
                print.line(&format!("{id}  {text}"))?;
            }
            return Ok(if failed { Exit::Failed } else { Exit::Done });
        }
        What::Drop(letters) => {
            let Dropped { dropped } = post(&letters, "drop").await?;
            print.line(&format!("{dropped} dropped"))?;
        }
    }
    Ok(Exit::Done)
}

/// The document, unless it was printed as it is.
async fn fetch<T: for<'de> Deserialize<'de>>(
    look: &Look,
    what: &str,
    print: &mut Print,
) -> Result<Option<T>, Fault> {
    let client = Client::new(&look.admin.admin_url, &look.admin.access)?;
    let of = look.namespace.as_ref().map_or(String::new(), |namespace| format!("&namespace={namespace}"));
    let path = format!("/v1/writes/{what}?limit={}{of}", look.limit);
    let mut answer = succeeded(client.send(Ask::new(Method::GET, path)).await?).await?;
    let document = answer.whole(DOCUMENT_BYTES_MAX).await?;
    if look.json {
        print.document(&document)?;
        return Ok(None);
    }
    Ok(Some(answer.read(&document)?))
}

async fn post<T: for<'de> Deserialize<'de>>(letters: &Letters, what: &str) -> Result<T, Fault> {
    let client = Client::new(&letters.admin.admin_url, &letters.admin.access)?;
    let body = json!({ "ids": letters.ids }).to_string().into();
    let ask = Ask { body, patience: RETRY_PATIENCE, ..Ask::new(Method::POST, format!("/v1/writes/{what}")) };
    let mut answer = succeeded(client.send(ask).await?).await?;
    let document = answer.whole(DOCUMENT_BYTES_MAX).await?;
    answer.read(&document)
}

fn date(ms: u64) -> String {
    // Times that no clock has yet are of another program.
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(ms.min(1 << 47))).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_millis(at).to_string()
}

fn seconds(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Captured, Server, run, text};
    use super::*;

    const PENDING: &str = r#"{"pending":[{"id":"7-0","namespace":"users","key":"eu/7","attempts":2,"since_ms":1767225600000,
        "error":"the origin answered 500","due_ms":1500},
        {"id":"9-0","namespace":"users","key":"8","attempts":0,"since_ms":1767225601000}]}"#;
    const DEAD: &str = r#"{"dead":[{"id":"3-0","namespace":"users","key":"1","change":"put","bytes":12,"attempts":10,
        "since_ms":1767225600000,"died_ms":1767225660000,"error":"refused"}]}"#;

    #[tokio::test]
    async fn what_waits_and_what_died_is_a_line_each() {
        let server = Server::start(|request| match request.uri().to_string().as_str() {
            "/v1/writes/pending?limit=100" => text(200, PENDING),
            "/v1/writes/dead?limit=5&namespace=users" => text(200, DEAD),
            other => panic!("{other}"),
        })
        .await;
        let captured = Captured::default();
        let exit = run(&["writes", "pending", "--admin-url", server.url()], &captured).await;
        let shown = [
            "7-0  users/eu/7  since 2026-01-01T00:00:00.000Z, 2 attempts, again in 1s 500ms, the origin answered 500",
            "9-0  users/8  since 2026-01-01T00:00:01.000Z",
        ];
        assert_eq!(exit, Exit::Done, "{}", captured.err());
        assert_eq!(captured.out().lines().collect::<Vec<_>>(), shown);
        let captured = Captured::default();
        let line = ["writes", "dead", "users", "--limit", "5", "--admin-url", server.url()];
        assert_eq!(run(&line, &captured).await, Exit::Done, "{}", captured.err());
        let shown =
            "3-0  users/1  put of 12 bytes, given up 2026-01-01T00:01:00.000Z after 10 attempts: refused\n";
        assert_eq!(captured.out(), shown);
    }

    #[tokio::test]
    async fn a_dead_letter_that_stays_dead_is_a_failure() {
        let server = Server::start(|request| match request.uri().path() {
            "/v1/writes/retry" => {
                text(200, r#"{"retried":{"1-0":"applied","2-0":{"failed":"the origin answered 500"}}}"#)
            }
            "/v1/writes/drop" => text(200, r#"{"dropped":2}"#),
            other => panic!("{other}"),
        })
        .await;
        let captured = Captured::default();
        let line = ["writes", "retry", "1-0", "2-0", "--admin-url", server.url()];
        assert_eq!(run(&line, &captured).await, Exit::Failed);
        assert_eq!(captured.out(), "1-0  applied\n2-0  failed: the origin answered 500\n");
        let captured = Captured::default();
        let line = ["writes", "drop", "1-0", "2-0", "--admin-url", server.url()];
        assert_eq!((run(&line, &captured).await, captured.out()), (Exit::Done, "2 dropped\n".to_owned()));
    }
}
