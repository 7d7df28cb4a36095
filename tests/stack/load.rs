//! A load through the balancer, of every kind of request and client, and what of it failed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::{Stack, TOKEN};
use crate::harness::http::{Client, Request, Response};
use crate::harness::task::{Task, spawn};
use crate::harness::wait::{SOON, eventually};

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(5);
/// Keys that are read; each writer has one of its own among them.
const KEYS: u64 = 20;
/// Failures that are told in full.
const TOLD_MAX: usize = 20;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Bulk,
    WriteThrough,
    WriteBehind,
    Delete,
    Invalidate,
    Purge,
}

/// How it talks to the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// One connection for all requests.
    Kept,
    /// One for each.
    Fresh,
    /// HTTP/2.
    Two,
}

const CLIENTS: [(Kind, Wire, usize); 11] = [
    (Kind::Read, Wire::Kept, 8),
    (Kind::Read, Wire::Fresh, 4),
    (Kind::Read, Wire::Two, 2),
    (Kind::Bulk, Wire::Kept, 1),
    (Kind::WriteThrough, Wire::Kept, 2),
    (Kind::WriteThrough, Wire::Fresh, 1),
    (Kind::WriteBehind, Wire::Kept, 1),
    (Kind::Delete, Wire::Kept, 1),
    (Kind::Invalidate, Wire::Kept, 2),
    (Kind::Invalidate, Wire::Fresh, 1),
    (Kind::Purge, Wire::Kept, 1),
];

/// The load, until it is stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<(Arc<Tally>, Task)>,
}

/// What became of one client's requests.
pub(super) struct Tally {
    pub(super) kind: Kind,
    wire: Wire,
    pub(super) done: AtomicU64,
    pub(super) failures: Mutex<Vec<String>>,
}

impl Load {
    /// Begins it, and waits until every client has had answers.
    pub(super) async fn start(stack: &Stack) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let all = CLIENTS.iter().flat_map(|&(kind, wire, count)| std::iter::repeat_n((kind, wire), count));
        let clients = all.zip(1..).map(|((kind, wire), number)| {
            let tally = Arc::new(Tally { kind, wire, done: AtomicU64::new(0), failures: Mutex::default() });
            let run = run(Arc::clone(&tally), Arc::clone(&stop), stack.balanced(""), number);
            (tally, spawn(run))
        });
        let clients = clients.collect();
        let load = Self { stop, clients };
        load.goes_on().await;
        load
    }

    /// Waits until every client has had ten more answers.
    pub(super) async fn goes_on(&self) {
        let done = |tally: &Tally| tally.done.load(Ordering::SeqCst);
        let before: Vec<u64> = self.clients.iter().map(|(tally, _)| done(tally)).collect();
        eventually("every client of the load has answers", SOON, async || {
            self.clients.iter().zip(&before).all(|((tally, _), before)| before + 10 <= done(tally))
        })
        .await;
    }

    /// Ends it. Answers with what became of each client's requests.
    pub(super) async fn stop(self) -> Vec<Arc<Tally>> {
        self.stop.store(true, Ordering::SeqCst);
        let mut tallies = Vec::new();
        for (tally, client) in self.clients {
            client.await.expect("a client does not panic");
            tallies.push(tally);
        }
        tallies
    }
}

/// The failures of those whose kind is asked for, told with who met them.
pub(super) fn failures(tallies: &[Arc<Tally>], counts: impl Fn(Kind) -> bool) -> Vec<String> {
    let of = tallies.iter().filter(|tally| counts(tally.kind)).flat_map(|tally| {
        let failures = tally.failures.lock().expect("no client panics").clone();
        failures.into_iter().map(|failure| format!("{:?} over {:?}: {failure}", tally.kind, tally.wire))
    });
    of.collect()
}

/// How many requests were answered as they should be.
pub(super) fn done(tallies: &[Arc<Tally>]) -> u64 {
    tallies.iter().map(|tally| tally.done.load(Ordering::SeqCst)).sum()
}

async fn run(tally: Arc<Tally>, stop: Arc<AtomicBool>, base: String, number: u64) {
    let client = match tally.wire {
        Wire::Kept => Client::keeping(),
        Wire::Fresh => Client::new(),
        Wire::Two => Client::http2(),
    };
    let mut turn = number;
    while !stop.load(Ordering::SeqCst) {
        turn += 1;
        let request = request(&client, tally.kind, &base, number, turn);
        let answer = request.header("authorization", &format!("Bearer {TOKEN}")).try_send().await;
        match answer {
            Ok(answer) if expected(tally.kind).contains(&answer.status) => {
                tally.done.fetch_add(1, Ordering::SeqCst);
            }
            answer => {
                let told = answer.map_or_else(|error| error, |answer| refusal(&answer));
                let mut failures = tally.failures.lock().expect("no client panics");
                if failures.len() < TOLD_MAX {
                    failures.push(told);
                }
            }
        }
        sleep(PAUSE).await;
    }
}

fn request(client: &Client, kind: Kind, base: &str, number: u64, turn: u64) -> Request {
    let read = 1 + turn % KEYS;
    let own = |query: &str| format!("{base}/v1/cache/users/own-{number}{query}");
    let key = |key: u64| format!("{base}/v1/cache/users/{key}");
    let value = format!("{{\"turn\": {turn}}}");
    match kind {
        Kind::Read => client.get(&key(read)),
        Kind::Bulk => client.get(&format!("{base}/v1/cache/users?keys=1,2,{read}")),
        Kind::WriteThrough => client.put(&own(""), value).header("content-type", "application/json"),
        Kind::WriteBehind => {
            client.put(&own("?mode=behind"), value).header("content-type", "application/json")
        }
        Kind::Delete => client.delete(&own("")),
        Kind::Invalidate => {
            let event = serde_json::json!({"namespace": "users", "keys": [read.to_string()]});
            client.post(&format!("{base}/v1/invalidate"), &event)
        }
        Kind::Purge => client.purge(&key(read)),
    }
}

fn expected(kind: Kind) -> &'static [u16] {
    match kind {
        Kind::WriteBehind | Kind::Invalidate => &[202],
        Kind::Delete => &[200, 204],
        Kind::Read | Kind::Bulk | Kind::WriteThrough | Kind::Purge => &[200],
    }
}

fn refusal(answer: &Response) -> String {
    format!("{} of {:?}: {}", answer.status, answer.header("coherd-instance"), answer.text())
}
