//! Several instances over one embedded store, with an origin whose answers can be held back: the races are forced.

mod aside;
mod deadlines;
mod loads;
mod promises;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::{Answer, Cache, Demand, GetError, Policy, Refreshers, Settings, Via, Wish, Wished};
use crate::backend::memory::{Limits, Memory, Store};
use crate::backend::wire::Compression;
use crate::backend::{Backend, Beat};
use crate::clock::Clock;
use crate::coherence::{self, Coherence, Door, Receipt, Terms, WaitMode};
use crate::guard::Urgency;
use crate::model::{
    Content, Event, Hardness, Keep, Key, Lifetime, Loaded, Namespace, ShardCount, Stated, Tag, Target, Value,
};
use crate::origin::{Fetched, Origin, OriginError, Validators};
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::Metrics;
use crate::telemetry::trace::Tracer;

pub(super) const D: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(60);

pub(super) fn ns() -> Namespace {
    Namespace::new("users").unwrap()
}

pub(super) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Keys with versions. A load reads its version on arrival and answers when it is let go.
pub(super) struct Register {
    versions: Mutex<HashMap<String, Option<u64>>>,
    pub(super) arrived: watch::Sender<usize>,
    gate: Semaphore,
    held: watch::Sender<bool>,
    pub(super) tags: Mutex<Vec<Tag>>,
    pub(super) failing: Mutex<Option<OriginError>>,
    at_once: AtomicUsize,
    pub(super) peak: AtomicUsize,
}

impl Register {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            versions: Mutex::default(),
            arrived: watch::Sender::new(0),
            gate: Semaphore::new(0),
            held: watch::Sender::new(false),
            tags: Mutex::default(),
            failing: Mutex::default(),
            at_once: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    pub(super) fn set(&self, key: &str, version: u64) {
        self.versions.lock().unwrap().insert(key.to_owned(), Some(version));
    }

    pub(super) fn remove(&self, key: &str) {
        self.versions.lock().unwrap().insert(key.to_owned(), None);
    }

    /// From here on loads read and wait.
    pub(super) fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets one that waits go.
    pub(super) fn let_go(&self, count: usize) {
        self.gate.add_permits(count);
    }

    /// From here on loads do not wait, and those that do are let go.
    pub(super) fn open(&self) {
        self.held.send_replace(false);
    }

    /// Waits until so many loads have read.
    pub(super) async fn arrived(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        timeout(SOON, arrived.wait_for(|it| count <= *it)).await.expect("the load arrives").unwrap();
    }

    pub(super) fn loads(&self) -> usize {
        *self.arrived.borrow()
    }
}

/// Refreshes one key after the other, as they are wished for.
struct AtOnce(mpsc::UnboundedSender<Wish>);

impl Refreshers for AtOnce {
    fn wish(&self, wish: Wish) -> Wished {
        if self.0.send(wish).is_ok() { Wished::Taken } else { Wished::Full }
    }
}

#[async_trait]
impl Origin for Register {
    async fn load(
        &self,
        key: &Key,
        _held: Option<&Validators>,
        _urgency: Urgency,
    ) -> Result<Fetched, OriginError> {
        let version = self.versions.lock().unwrap().get(&**key).copied().unwrap_or(Some(0));
        let failing = self.failing.lock().unwrap().clone();
        self.peak.fetch_max(self.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        self.arrived.send_modify(|it| *it += 1);
        let mut held = self.held.subscribe();
        tokio::select! {
            permit = self.gate.acquire() => permit.unwrap().forget(),
            _ = held.wait_for(|held| !held) => {}
        }
        self.at_once.fetch_sub(1, SeqCst);
        if let Some(error) = failing {
            return Err(error);
        }
        let content = version.map_or(Content::Absent, |version| {
            Content::Present(Value { body: version.to_string().into(), ..Value::default() })
        });
        let tags = self.tags.lock().unwrap().clone();
        let lifetime = Stated::default();
        Ok(Fetched::Loaded(Loaded { content, tags, lifetime, age: Duration::ZERO, keep: Keep::Yes }))
    }
}

/// An instance without a door.
pub(super) struct Node {
    pub(super) cache: Arc<Cache>,
    pub(super) coherence: Arc<Coherence>,
    pub(super) memory: Arc<Memory>,
    pub(super) metrics: Metrics,
    _supervisor: Supervisor,
}

pub(super) struct Cluster {
    pub(super) store: Arc<Store>,
    pub(super) origin: Arc<Register>,
    pub(super) nodes: Vec<Node>,
}

pub(super) fn settings() -> Settings {
    Settings {
        name: ns(),
        version: 1,
        max_staleness: D,
        available: false,
        lifetime: Lifetime { fresh: Duration::from_mins(1), ..Lifetime::default() },
        ttl_jitter: 0.0,
        negative_ttl: Duration::ZERO,
        lease: Duration::from_secs(5),
        l1_capacity: 1 << 20,
        l1_policy: Policy::TinyLfu,
        max_value: 1 << 20,
        compression: Compression::None,
        tags: Vec::new(),
        depends_on: Vec::new(),
        origin: None,
        written: false,
        behind: false,
        load_max: Duration::from_secs(2),
        backend_max: Duration::from_secs(5),
        soft_timeout: Duration::ZERO,
        refresh_ahead: 0.0,
        origin_lag: Duration::ZERO,
        refreshers: None,
    }
}

impl Cluster {
    /// So many instances of the usual namespace, all attached.
    pub(super) async fn of(count: usize) -> Self {
        Self::with(count, |_| {}).await
    }

    /// The same with other settings.
    pub(super) async fn with(count: usize, adjust: impl Fn(&mut Settings)) -> Self {
        let clock = Clock::tokio();
        let store = Store::new(ShardCount::ONE, Limits::default(), clock.clone(), 1_700_000_000_000);
        let origin = Register::new();
        let mut nodes = Vec::new();
        for index in 0..count {
            let mut settings = Settings { origin: Some(origin.clone()), ..settings() };
            adjust(&mut settings);
            nodes.push(Node::start(&store, clock.clone(), &format!("i{index}"), settings));
        }
        let cluster = Self { store, origin, nodes };
        cluster
            .eventually("all instances attach", || cluster.nodes.iter().all(|it| it.coherence.attached()))
            .await;
        cluster
    }

    pub(super) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    pub(super) async fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let reached = async {
            while !holds() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(SOON, reached).await.is_ok(), "never: {what}");
    }

    /// Lets membership and leases grow so old that `wait=all` may be answered early.
    pub(super) async fn settle(&self) {
        sleep(D * 2).await;
    }
}

impl Node {
    fn start(store: &Arc<Store>, clock: Clock, id: &str, mut settings: Settings) -> Self {
        let (wishes, mut wished) = mpsc::unbounded_channel();
        settings.refreshers = Some(Arc::new(AtOnce(wishes)));
        let memory = Arc::new(Memory::join(store));
        let backend: Arc<dyn Backend> = memory.clone();
        let metrics = Metrics::new(&[settings.name.to_string()], "0", "0").unwrap();
        let supervisor = Supervisor::new(metrics.tasks.clone());
        let coherence = Coherence::new(coherence::Settings {
            tracer: Tracer::default(),
            backend: Arc::clone(&backend),
            clock,
            metrics: Arc::clone(&metrics.coherence),
            instance: id.to_owned(),
            process: rand::random(),
            slots: coherence::SLOTS,
            namespaces: HashMap::from([(settings.name.clone(), (settings.version, settings.max_staleness))]),
            depended_on: std::collections::HashSet::new(),
            max_staleness: D,
            recent: settings.origin_lag + settings.load_max,
        });
        let spaces = vec![settings];
        let cache = Cache::new(spaces, id, backend, Arc::clone(&coherence), supervisor.clone(), &metrics);
        coherence.start(&supervisor);
        cache.start();
        let cache = Arc::new(cache);
        let refreshing = Arc::clone(&cache);
        drop(supervisor.spawn(Stage::Load, "refresh", async move {
            while let Some(wish) = wished.recv().await {
                refreshing.refresh("users", &wish).await;
            }
        }));
        Self { cache, coherence, memory, metrics, _supervisor: supervisor }
    }

    pub(super) async fn ask(&self, text: &str, demand: Demand) -> Result<Answer, GetError> {
        timeout(SOON, self.cache.get("users", &key(text), &demand)).await.expect("an answer")
    }

    /// The version a plain read answers.
    pub(super) async fn get(&self, text: &str) -> u64 {
        version(&self.ask(text, Demand::default()).await.unwrap())
    }

    /// A read under way.
    #[expect(clippy::disallowed_methods, reason = "a reader beside the test")]
    pub(super) fn reading(&self, text: &str) -> tokio::task::JoinHandle<u64> {
        let (cache, key) = (Arc::clone(&self.cache), key(text));
        tokio::spawn(async move { version(&cache.get("users", &key, &Demand::default()).await.unwrap()) })
    }

    pub(super) async fn via(&self, text: &str) -> Via {
        self.ask(text, Demand::default()).await.unwrap().via
    }

    pub(super) async fn publish(&self, event: Event) -> Receipt {
        let terms = Terms { confirm: true, ..Terms::of(Door::Http) };
        self.coherence.publish(event, &terms).await.unwrap()
    }

    pub(super) async fn purge(&self, text: &str) -> Receipt {
        self.publish(Event::hard(vec![Target::Key(ns(), key(text))])).await
    }

    /// Invalidates and waits until nobody answers with anything older.
    pub(super) async fn purge_all(&self, text: &str) -> WaitMode {
        let receipt = self.purge(text).await;
        self.coherence.wait_all(&receipt, None).await.mode
    }
}

pub(super) fn version(answer: &Answer) -> u64 {
    match &answer.entry.content {
        Content::Present(value) => std::str::from_utf8(&value.body).unwrap().parse().unwrap(),
        Content::Absent => panic!("there is no value"),
    }
}
