//! The world of one run: instances, their wires, the server, the origin, and the history of what happens to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{Mutex, watch};

use super::client::Client;
use super::counters::Counters;
use super::faults::Broken;
use super::shared::Shared;
use super::{spaces, written};
use crate::harness::clock::Clocks;
use crate::harness::instance::{Config, Instance};
use crate::harness::origin::{Effect, Origin, Watch, Write};
use crate::harness::proxy::Proxy;
use crate::harness::resp::Connection;
use crate::harness::server::{Options, Server};
use crate::harness::wait::{SOON, eventually};
use crate::history::{Done, Happened, History, Record};

/// D of every namespace: short, so that a run has many of it.
pub(crate) const MAX_STALENESS: Duration = Duration::from_millis(800);
/// From whatever was mended until every instance follows the log again, at the most.
const LEVEL: Duration = Duration::from_secs(60);
/// Whoever asks an instance for its state does not wait for one that is stopped.
const STATE: Duration = Duration::from_secs(1);

/// The name of the server's clock, and of those that take its place.
pub(crate) const SERVER_CLOCK: &str = "server";

/// What a world is made of.
pub(crate) struct Setup {
    /// How many instances, named `inst-0` and up.
    pub(crate) instances: usize,
    /// What everything random in it is drawn from.
    pub(crate) seed: u64,
    /// The server they share.
    pub(crate) server: Options,
    /// It is a cluster of servers with these options.
    pub(crate) ring: bool,
    /// One that runs already and takes its place, and the URL by which instances find whoever is the primary.
    pub(crate) running: Option<(Server, String)>,
    /// Settings of the instances beside the world's own: dotted paths and values.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// What their clocks and the server's go by; `None`: the time.
    pub(crate) clocks: Option<Clocks>,
    /// Where the history is kept, beside memory.
    pub(crate) file: Option<PathBuf>,
}

impl Setup {
    /// So many instances, with the defaults.
    pub(crate) fn new(instances: usize, seed: u64) -> Self {
        Self {
            instances,
            seed,
            server: Options::default(),
            ring: false,
            running: None,
            settings: Vec::new(),
            clocks: None,
            file: None,
        }
    }
}

/// One instance and its wire to Valkey: whoever breaks one of them holds the lock until it is mended.
pub(crate) struct Node {
    /// The instance.
    pub(crate) instance: Instance,
    /// Between it and Valkey.
    pub(crate) wire: Proxy,
    /// What its processes had counted before they were killed.
    past: Counters,
}

impl Node {
    /// SIGKILL. What it has counted so far is kept for the report, if it still answers.
    pub(crate) async fn kill(&mut self) {
        self.keep_counters().await;
        self.instance.kill().await;
    }

    /// SIGTERM, and waits for its end: as [`Self::kill`].
    pub(crate) async fn end(&mut self, within: Duration) -> ExitStatus {
        self.keep_counters().await;
        self.instance.terminate();
        self.instance.exit(within).await
    }

    async fn keep_counters(&mut self) {
        let page = Client::new(STATE).text(&self.instance.admin_url("/metrics")).await;
        self.past.add(&page.map(|page| Counters::parse(&page)).unwrap_or_default());
    }

    /// What all its processes have counted.
    pub(super) async fn counters(&self) -> Counters {
        let page = Client::new(STATE).text(&self.instance.admin_url("/metrics")).await;
        let mut sum = self.past.clone();
        sum.add(&page.map(|page| Counters::parse(&page)).unwrap_or_default());
        sum
    }
}

/// Where clients find an instance. It stays the same over restarts, so that nobody needs a lock to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// `inst-0` and up.
    pub(crate) id: String,
    /// `http://…` of the data listener.
    pub(crate) data: String,
    /// `http://…` of the admin listener.
    pub(crate) admin: String,
}

/// Writes down what the origin is asked.
struct Reads(Arc<History>);

impl Watch for Reads {
    fn arrived(&self) -> u64 {
        self.0.now()
    }

    fn read(&self, arrived: u64, key: &str, version: Option<u64>) {
        self.0.record(arrived, Happened::Load { object: key.to_owned(), version });
    }

    fn wrote(&self, arrived: u64, key: &str, write: &Write) {
        let number =
            |body: &Bytes| serde_json::from_slice::<serde_json::Value>(body).ok()?["version"].as_u64();
        let delivered = Happened::Delivered {
            object: key.to_owned(),
            // What is none of the workload's is nobody's.
            write: write.body.as_ref().map(|body| number(body).unwrap_or(0)),
            seq: write.seq,
            idempotency_key: write.idempotency_key.clone(),
            done: match write.effect {
                Effect::Applied => Done::Applied,
                Effect::Repeated => Done::Repeated,
                Effect::Superseded => Done::Superseded,
                Effect::Refused => Done::Refused,
                Effect::Failed => Done::Failed,
            },
        };
        self.0.record(arrived, delivered);
    }
}

/// A running world. A fault takes the locks of what it breaks, clients take none.
pub(crate) struct World {
    /// The instances.
    pub(crate) nodes: Vec<Mutex<Node>>,
    /// Where they are.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The server the instances write to at present. Whoever puts another in its place says so in [`Self::primary`] too.
    pub(crate) server: Mutex<Shared>,
    /// `backend.url` of whoever goes past the wires.
    pub(crate) url: String,
    /// `backend.shards`.
    pub(crate) shards: u16,
    /// Where the first shard is.
    pub(crate) primary: watch::Sender<SocketAddr>,
    /// The system of record of every namespace but the cache-aside one: its keys are `NAMESPACE/KEY`.
    pub(crate) origin: Origin,
    /// The faults under way.
    pub(crate) broken: Broken,
    /// The clocks of all processes: an instance's has its name, the server's [`SERVER_CLOCK`].
    pub(crate) clocks: Option<Clocks>,
    history: Arc<History>,
    /// What the world was made from.
    pub(crate) seed: u64,
}

impl World {
    /// Starts what `setup` says, and waits until all instances are ready and attached.
    pub(crate) async fn start(setup: Setup) -> Self {
        let history = Arc::new(setup.file.as_deref().map_or_else(History::begin, History::begin_in));
        let max_staleness = u64::try_from(MAX_STALENESS.as_nanos()).expect("D is short");
        history.record(history.now(), Happened::Promise { max_staleness, seed: setup.seed });
        let nanos = u64::try_from(spaces::ORIGIN_LAG.as_nanos()).expect("the lag is short");
        history.record(history.now(), Happened::Lag { space: spaces::LAGGING.to_owned(), nanos });
        for space in written::WRITTEN {
            history.record(history.now(), Happened::Written { space: space.to_owned() });
        }
        let clock =
            |name: &str| setup.clocks.iter().flat_map(|clocks| clocks.variables(name)).collect::<Vec<_>>();
        let (server, url) = if let Some((server, url)) = setup.running {
            (Shared::One(Box::new(server)), Some(url))
        } else {
            let options = setup.server.clone().env(clock(SERVER_CLOCK));
            (Shared::start(options, setup.ring).await, None)
        };
        let primary = server.primary().await.addr();
        let shards = server.shards();
        let origin = Origin::watched(Some(Arc::new(Reads(Arc::clone(&history))))).await;
        spaces::describe(&origin);
        let nodes = (0..setup.instances).map(|number| {
            let (server, url, settings, origin, clock) = (&server, &url, &setup.settings, &origin, &clock);
            async move {
                let wire = Proxy::start(primary).await;
                let url = url.clone().unwrap_or_else(|| server.url_at(wire.addr()));
                let config = Config::new(&format!("inst-{number}"), &url);
                let config =
                    spaces::configure(config.set("backend.shards", i64::from(shards)), &origin.url());
                let set = |config: Config, (path, value): &(&str, String)| config.set(path, value.as_str());
                let config = settings.iter().fold(config, set);
                let clock = clock(config.id());
                let config = clock.iter().fold(config, |config, (name, value)| config.env(name, value));
                Node { instance: Instance::start(config).await, wire, past: Counters::default() }
            }
        });
        let nodes = join_all(nodes).await;
        let endpoints = nodes.iter().map(|node| Endpoint {
            id: node.instance.id().to_owned(),
            data: node.instance.url(""),
            admin: node.instance.admin_url(""),
        });
        let world = Self {
            endpoints: endpoints.collect(),
            nodes: nodes.into_iter().map(Mutex::new).collect(),
            primary: watch::Sender::new(primary),
            url: server.url_at(primary),
            shards,
            server: Mutex::new(server),
            origin,
            broken: Broken::default(),
            clocks: setup.clocks,
            history,
            seed: setup.seed,
        };
        world.level().await;
        world
    }

    /// What happens.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// What all instances have counted.
    pub(crate) async fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for node in &self.nodes {
            sum.add(&node.lock().await.counters().await);
        }
        sum
    }

    /// The server's name and version.
    pub(crate) async fn server_version(&self) -> String {
        let shared = self.server.lock().await;
        let server = shared.primary().await;
        match server.info("valkey_version").await {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", server.info("redis_version").await.unwrap_or_default()),
        }
    }

    /// Takes everything down; what has happened.
    pub(crate) async fn end(self) -> Vec<Record> {
        let Self { history, origin, nodes, .. } = self;
        drop((nodes, origin));
        // The origin's connections end a moment after it.
        eventually("nobody else writes the history", SOON, async || Arc::strong_count(&history) == 1).await;
        Arc::into_inner(history).expect("nobody else writes it").finish()
    }

    /// A connection to the server itself, past every wire and without a lock; `None` while nobody answers there.
    pub(crate) async fn direct(&self) -> Option<Connection> {
        let addr = *self.primary.borrow();
        Connection::open(addr, None).await.ok()
    }

    /// Waits until every instance is attached and has applied all that the log holds.
    ///
    /// # Panics
    ///
    /// If one never is.
    pub(crate) async fn level(&self) {
        for endpoint in &self.endpoints {
            eventually(&format!("{} is level with the log", endpoint.id), LEVEL, async || {
                self.is_level(endpoint).await
            })
            .await;
        }
    }

    /// Whether that instance is attached and has applied all that the log holds.
    pub(crate) async fn is_level(&self, endpoint: &Endpoint) -> bool {
        let Some(head) = self.head().await else { return false };
        let page = Client::new(STATE).text(&format!("{}/stats", endpoint.admin)).await;
        let stats: Option<serde_json::Value> = page.and_then(|page| serde_json::from_str(&page).ok());
        let Some(stats) = stats else { return false };
        let seq = |id: &str| id.split('-').next().and_then(|seq| seq.parse::<u64>().ok());
        let cursor = stats["log"]["cursor"].as_str().and_then(seq);
        stats["attached"] == true && stats["log"]["lag_events"] == 0 && Some(head) <= cursor
    }

    /// The number of the last event, as the server has it.
    async fn head(&self) -> Option<u64> {
        let mut connection = self.direct().await?;
        let asked = connection.command(&["HGET", "coherd:{main}:ctl", "seq"]);
        match tokio::time::timeout(STATE, asked).await {
            Ok(Ok(crate::harness::resp::Reply::Text(seq))) => String::from_utf8(seq).ok()?.parse().ok(),
            _ => None,
        }
    }
}
