//! The backend against real servers: each test starts its own, on a free port, in a folder of its own.
//!
//! `VALKEY_SERVER` names the server's binary; without it `valkey-server` or `redis-server` is looked for.

mod cluster;
mod entries;
mod function;
mod hot;
mod inbox;
mod link;
mod log;
mod prelude;
mod replica;
mod server;
mod steps;
mod subscription;
mod together;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::server::Server;
use super::connection::Command;
use super::{Settings, Valkey};
use crate::backend::{
    Backend, BackendError, Beat, Claim, EntryId, Fill, Filled, Found, LinkState, LoadId, Lookup, Member,
    Publication, Published, Put, Token,
};
use crate::model::{
    Event, Hardness, Key, Name, Namespace, Prefix, Seq, Shard, ShardCount, Tag, Target, covering,
};

const S0: Shard = Shard(0);
/// Longer than anything here takes on a slow machine.
const LONG: Duration = Duration::from_secs(20);

/// A server, and a backend that is connected to it.
struct Fixture {
    backend: Arc<Valkey>,
    server: Server,
    _task: AbortOnDropHandle<()>,
}

impl Fixture {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(Server::start().await, change).await
    }

    async fn on(server: Server, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(&server);
        change(&mut settings);
        let (backend, task) = connected(settings).await;
        Self { backend, server, _task: task }
    }

    async fn publish(&self, targets: Vec<Target>) -> Published {
        self.backend.publish(S0, publication(targets)).await.unwrap()
    }

    async fn lookup(&self, key: &str, load: &str) -> Found {
        self.backend.lookup(lookup(key, Some(load))).await.unwrap()
    }

    /// Takes the lease and the token that comes with it.
    async fn lease(&self, key: &str, load: &str) -> Token {
        match self.lookup(key, load).await {
            Found::Leased { token, .. } => token,
            other => panic!("no lease: {other:?}"),
        }
    }

    async fn fill(&self, key: &str, load: &str, token: Token) -> Filled {
        self.backend.fill(fill(key, load, token)).await.unwrap()
    }

    /// A key that is loaded and stored.
    async fn stored(&self, key: &str, load: &str) -> Token {
        let token = self.lease(key, load).await;
        assert_eq!(self.fill(key, load, token.clone()).await, Filled::Stored);
        token
    }

    async fn beat(&self, instance: &str, cursor: Seq, beats: u64) -> crate::backend::Head {
        let member =
            Member { instance: instance.to_owned(), cursor, max_staleness: Duration::from_secs(2), beats };
        self.backend.beat(S0, Beat { member, known: 0 }).await.unwrap()
    }

    async fn generation(&self) -> u64 {
        generation(&self.backend).await
    }

    /// Waits for a later generation than `after`.
    async fn next_generation(&self, after: u64) -> u64 {
        let mut link = self.backend.link();
        let later =
            |state: &LinkState| matches!(state, LinkState::Up { generation, .. } if after < *generation);
        match &*timeout(LONG, link.wait_for(later)).await.expect("a next generation").unwrap() {
            LinkState::Up { generation, .. } => *generation,
            _ => unreachable!("waited for Up"),
        }
    }

    async fn admin(&self, name: &'static str, args: &[&str]) -> Value {
        self.server.admin(name, args).await
    }
}

fn settings(server: &Server) -> Settings {
    Settings {
        url: server.url(),
        reader_url: None,
        username: None,
        password: None,
        ca_file: None,
        pool: 2,
        connect_timeout: Duration::from_secs(2),
        command_timeout: Duration::from_secs(2),
        cluster: "main".to_owned(),
        shards: ShardCount::ONE,
        log_max_events: 10_000,
        watermarks_max: 1_000,
        min_replicas_ack: 0,
        verify: false,
        tracking: false,
        keeps_writes: false,
        takes_writes: false,
    }
}

/// A backend whose connection is kept, not waited for.
#[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
fn kept(settings: Settings) -> (Arc<Valkey>, AbortOnDropHandle<()>) {
    let backend = Valkey::new(settings).unwrap();
    let keeper = Arc::clone(&backend);
    let task = tokio::spawn(async move { keeper.keep_connected(CancellationToken::new()).await.unwrap() });
    (backend, AbortOnDropHandle::new(task))
}

async fn connected(settings: Settings) -> (Arc<Valkey>, AbortOnDropHandle<()>) {
    let (backend, task) = kept(settings);
    generation(&backend).await;
    (backend, task)
}

async fn generation(backend: &Valkey) -> u64 {
    let mut link = backend.link();
    let state = timeout(LONG, link.wait_for(|state| matches!(state, LinkState::Up { .. }))).await;
    match &*state.expect("connected").unwrap() {
        LinkState::Up { generation, .. } => *generation,
        _ => unreachable!("waited for Up"),
    }
}

async fn refused(backend: &Valkey) -> String {
    let mut link = backend.link();
    let state = timeout(LONG, link.wait_for(|state| matches!(state, LinkState::Refused(_)))).await;
    match &*state.expect("refused").unwrap() {
        LinkState::Refused(why) => why.clone(),
        _ => unreachable!("waited for Refused"),
    }
}

/// Asks again until the answer is no error.
async fn succeeds<T, E, F: Future<Output = Result<T, E>>>(what: &str, ask: impl Fn() -> F) {
    eventually(what, || async { ask().await.is_ok() }, |ok| *ok).await;
}

/// Asks again until `holds`, for what the server or a task does in its own time.
async fn eventually<T, F: Future<Output = T>>(
    what: &str,
    ask: impl Fn() -> F,
    holds: impl Fn(&T) -> bool,
) -> T {
    let asking = async {
        loop {
            let answer = ask().await;
            if holds(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, asking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

fn ns() -> Namespace {
    Namespace::new("users").unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn entry(text: &str) -> EntryId {
    EntryId { namespace: ns(), version: 1, key: key(text) }
}

fn load(text: &str) -> LoadId {
    LoadId(text.into())
}

fn key_target(text: &str) -> Target {
    Target::Key(ns(), key(text))
}

fn tag(text: &str) -> Target {
    Target::Tag(Tag::new(text).unwrap())
}

fn prefix(text: &str) -> Target {
    Target::Prefix(ns(), Prefix::new(text).unwrap())
}

fn lookup(text: &str, claim: Option<&str>) -> Lookup {
    Lookup {
        entry: entry(text),
        covering: covering(&ns(), &key(text)),
        claim: claim.map(|by| Claim {
            load: load(by),
            lease: Duration::from_secs(30),
            even_if_fresh: false,
            absent: None,
        }),
        have: None,
    }
}

fn put() -> Put {
    Put {
        names: vec![Name::tag(&Tag::new("team:7").unwrap())],
        envelope: Bytes::from_static(b"\x00value\xFF"),
        fresh: Duration::from_mins(1),
        kept: Duration::from_mins(2),
    }
}

fn fill(text: &str, by: &str, token: Token) -> Fill {
    Fill {
        entry: entry(text),
        load: load(by),
        token,
        covering: covering(&ns(), &key(text)),
        put: put(),
        leased: true,
    }
}

fn publication(targets: Vec<Target>) -> Publication {
    let entries = targets
        .iter()
        .filter_map(|target| match target {
            Target::Key(namespace, key) => {
                Some(EntryId { namespace: namespace.clone(), version: 1, key: key.clone() })
            }
            _ => None,
        })
        .collect();
    Publication {
        event: Event::hard(targets),
        entries,
        confirm: false,
        along: None,
        known: 0,
        repeat_after: 0,
    }
}

fn soft(targets: Vec<Target>) -> Publication {
    let mut publication = publication(targets);
    publication.event.hardness = Hardness::Soft;
    publication
}

fn is_unavailable(error: &BackendError) -> bool {
    matches!(error, BackendError::Unavailable(_) | BackendError::TimedOut)
}
