//! `coherd explain`: why an instance answers a key as it does.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;

use super::args::Admin;
use super::client::{Ask, Client, in_path};
use super::entry;
use super::exit::{Exit, Fault};
use super::print::Print;
use super::refusal::succeeded;
use crate::model::{Key, Namespace};

/// The longest document that is read, in bytes.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// What to explain.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  coherd explain users 42")]
pub struct Args {
    /// The namespace
    #[arg(value_parser = entry::namespace)]
    namespace: Namespace,
    /// The key; it may hold slashes
    #[arg(value_parser = entry::key)]
    key: Key,
    /// The document of the instance's /v1/explain as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    let client = Client::new(&args.admin.admin_url, &args.admin.access)?;
    let path = format!("/v1/explain/{}/{}", args.namespace, in_path(&args.key));
    let mut answer = succeeded(client.send(Ask::new(Method::GET, path)).await?).await?;
    let document = answer.whole(DOCUMENT_BYTES_MAX).await?;
    if args.json {
        print.document(&document)?;
        return Ok(Exit::Done);
    }
    let explained: Explained = answer.read(&document)?;
    for (label, text) in explained.lines() {
        print.line(format!("{label:<9}{text}").trim_end())?;
    }
    Ok(Exit::Done)
}

/// `/v1/explain`. What a later version adds is passed over.
#[derive(Debug, Deserialize)]
struct Explained {
    instance: String,
    shard: u16,
    attached: bool,
    cursor: String,
    answer: Verdict,
    l1: Option<Tier>,
    l2: Option<Tier>,
    lease: Option<Lease>,
    pending_write: Option<u64>,
    last_invalidation: Option<Invalidation>,
    searched_since: Option<String>,
    #[serde(default)]
    unknown: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    from: String,
    why: String,
}

#[derive(Debug, Deserialize)]
struct Tier {
    holds: String,
    bytes: u64,
    etag: Option<String>,
    stamp: Option<String>,
    standing: String,
    usable: String,
    age_s: f64,
    ttl_s: f64,
    kept_s: f64,
    tags: Vec<String>,
    depends_on: Vec<String>,
    loaded_by: Loaded,
}

#[derive(Debug, Deserialize)]
struct Loaded {
    instance: Option<String>,
    load: String,
    took_s: f64,
}

#[derive(Debug, Deserialize)]
struct Lease {
    instance: Option<String>,
    load: String,
    left_s: f64,
}

#[derive(Debug, Deserialize)]
struct Invalidation {
    id: String,
    at: String,
    source: String,
    reason: String,
    soft: bool,
    named: Vec<String>,
    path: Option<String>,
    lag_ms: Option<f64>,
}

impl Explained {
    /// Lines of a label and a text; without a label they belong to the one above.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let attached = if self.attached { "attached" } else { "DETACHED" };
        let mut lines = vec![
            ("answer", format!("{}: {}", self.answer.from, self.answer.why)),
            ("by", format!("{}, {attached}, shard {} at {}", self.instance, self.shard, self.cursor)),
        ];
        for (label, tier) in [("L1", &self.l1), ("L2", &self.l2)] {
            match tier {
                None => lines.push((label, "-".to_owned())),
                Some(tier) => {
                    let of = tier.lines().into_iter().enumerate();
                    lines.extend(of.map(|(at, line)| (if at == 0 { label } else { "" }, line)));
                }
            }
        }
        let holder = |instance: &Option<String>| instance.clone().unwrap_or_else(|| "?".to_owned());
        lines.push((
            "lease",
            self.lease.as_ref().map_or_else(
                || "-".to_owned(),
                |it| format!("{} for {} (load {})", holder(&it.instance), seconds(it.left_s), it.load),
            ),
        ));
        if let Some(write) = self.pending_write {
            lines.push(("write", format!("{write} is not at the origin yet")));
        }
        match (&self.last_invalidation, &self.searched_since) {
            (Some(event), _) => {
                let of = event.lines().into_iter().enumerate();
                lines.extend(of.map(|(at, line)| (if at == 0 { "event" } else { "" }, line)));
            }
            (None, Some(since)) => lines.push(("event", format!("none since {since}"))),
            (None, None) => {}
        }
        lines.extend(self.unknown.iter().map(|what| ("unknown", what.clone())));
        lines
    }
}

impl Tier {
    fn lines(&self) -> Vec<String> {
        let what = if self.holds == "value" { format!("{} bytes", self.bytes) } else { self.holds.clone() };
        let mut lines = vec![format!(
            "{what}, {}, usable: {}; age {}, ttl {}, kept {}",
            self.standing,
            self.usable,
            seconds(self.age_s),
            seconds(self.ttl_s),
            seconds(self.kept_s)
        )];
        let stamp = self.stamp.as_deref().unwrap_or("of another history");
        let etag = self.etag.as_ref().map_or_else(String::new, |etag| format!(", etag {etag}"));
        lines.push(format!("stamp {stamp}{etag}"));
        for (label, names) in [("tags", &self.tags), ("depends on", &self.depends_on)] {
            if !names.is_empty() {
                lines.push(format!("{label} {}", names.join(", ")));
            }
        }
        let Loaded { instance, load, took_s } = &self.loaded_by;
        let by = instance.as_deref().unwrap_or("?");
        lines.push(format!("loaded by {by} in {} (load {load})", seconds(*took_s)));
        lines
    }
}

impl Invalidation {
    fn lines(&self) -> Vec<String> {
        let Self { id, at, source, reason, soft, named, path, lag_ms } = self;
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let kind = if *soft { "soft" } else { "hard" };
        let came = match (path, lag_ms) {
            (Some(path), Some(lag)) if *lag < 1.0 => format!("applied by {path}, less than 1ms late"),
            (Some(path), Some(lag)) => format!("applied by {path}, {} late", seconds(lag / 1000.0)),
            _ => "applied too long ago to be remembered how".to_owned(),
        };
        vec![
            format!("{id} at {at}, {kind}, names {}", named.join(", ")),
            format!("from {}: {}", or(source, "nobody"), or(reason, "no reason given")),
            came,
        ]
    }
}

/// A time to the millisecond; the text is of another program, any number may stand there.
fn seconds(time: f64) -> String {
    let time = Duration::try_from_secs_f64(time).unwrap_or_default();
    let millis = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    humantime::format_duration(millis).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Captured, Server, run, text};
    use super::*;

    const DOCUMENT: &str = r#"{"instance":"a","namespace":"users","key":"eu/7","shard":0,"attached":true,"cursor":"9-0",
        "answer":{"from":"l1","why":"the copy in L1 is valid and fresh"},
        "l1":{"holds":"value","bytes":12,"etag":"\"e\"","stamp":"8-0","standing":"valid","usable":"fresh","age_s":1.5,
              "ttl_s":58.5,"kept_s":61,"tags":["team:7"],"depends_on":[],
              "loaded_by":{"instance":"b","load":"b~1","took_s":0.003}},
        "l2":null,"lease":{"instance":"b","load":"b~2","left_s":2.25},"pending_write":null,
        "last_invalidation":{"id":"7-0","at":"2026-01-01T00:00:00.000Z","source":"billing","reason":"","soft":false,
              "named":["tag team:7"],"path":"pubsub","lag_ms":1.2},
        "searched_since":"7-0","unknown":["lease: gone"]}"#;

    #[tokio::test]
    async fn it_is_readable() {
        let server = Server::start(|request| {
            assert_eq!(request.uri().path(), "/v1/explain/users/eu/7%20b");
            text(200, DOCUMENT)
        })
        .await;
        let captured = Captured::default();
        let exit = run(&["explain", "users", "eu/7 b", "--admin-url", server.url()], &captured).await;
        let shown = [
            "answer   l1: the copy in L1 is valid and fresh",
            "by       a, attached, shard 0 at 9-0",
            "L1       12 bytes, valid, usable: fresh; age 1s 500ms, ttl 58s 500ms, kept 1m 1s",
            "         stamp 8-0, etag \"e\"",
            "         tags team:7",
            "         loaded by b in 3ms (load b~1)",
            "L2       -",
            "lease    b for 2s 250ms (load b~2)",
            "event    7-0 at 2026-01-01T00:00:00.000Z, hard, names tag team:7",
            "         from billing: no reason given",
            "         applied by pubsub, 1ms late",
            "unknown  lease: gone",
        ];
        assert_eq!(exit, Exit::Done, "{}", captured.err());
        assert_eq!(captured.out().lines().collect::<Vec<_>>(), shown);
    }

    #[tokio::test]
    async fn json_is_the_document_and_a_refusal_is_told() {
        let server = Server::start(|request| match request.uri().path() {
            "/v1/explain/users/7" => text(200, DOCUMENT),
            _ => text(404, r#"{"status":404,"code":"unknown_namespace","detail":"no `x`"}"#),
        })
        .await;
        let captured = Captured::default();
        let line = ["explain", "users", "7", "--json", "--admin-url", server.url()];
        assert_eq!((run(&line, &captured).await, captured.out()), (Exit::Done, format!("{DOCUMENT}\n")));
        let captured = Captured::default();
        assert_eq!(run(&["explain", "x", "7", "--admin-url", server.url()], &captured).await, Exit::Failed);
        assert!(captured.err().contains("unknown_namespace"), "{}", captured.err());
    }
}
