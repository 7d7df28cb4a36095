//! One seed, from its beginning to its verdict.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coherd::backend::memory::Store;
use coherd::cache::Demand;
use coherd::clock::Clock;
use coherd::model::{LogId, Shard, Target};
use futures_util::future::join_all;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::clients::{read, reader};
use super::faults::strike;
use super::node::Node;
use super::origin::Register;
use super::plan::{ACCOUNTS, Object, Plan, objects};
use super::publishers::{settle, writer};
use super::rng::Rng;
use super::sea::Sea;
use super::weather::Weather;
use super::wire::Faults;
use super::world::{Gate, MS, World};
use crate::harness::task::spawn;
use crate::history::{Floor, Happened, History, Record, Verdict, Versions, check};

/// How long instances may take to attach in calm weather: a backoff, a heartbeat and what is still under way.
const ATTACH: u64 = 10_000 * MS;

/// A simulation under way.
pub(super) struct Sim {
    pub(super) seed: u64,
    pub(super) plan: Plan,
    pub(super) world: Arc<World>,
    pub(super) sea: Arc<Sea>,
    pub(super) history: Arc<History>,
    pub(super) register: Arc<Register>,
    pub(super) objects: Vec<Object>,
    pub(super) places: Vec<Place>,
    /// Clients are never stopped.
    pub(super) client: Arc<Gate>,
    /// From here on nothing breaks and nothing changes.
    pub(super) faultless: CancellationToken,
    /// From here on nobody reads.
    pub(super) quiet: CancellationToken,
    /// Events that were acknowledged.
    named: Mutex<Vec<(u64, LogId, Versions)>>,
    /// What everybody has been told is over, for good.
    told: Mutex<Versions>,
    events: AtomicU64,
}

/// Where an instance runs, whichever process it is.
pub(super) struct Place {
    pub(super) faults: Arc<Faults>,
    node: Mutex<Option<Arc<Node>>>,
    processes: AtomicU32,
}

/// How a seed ended.
pub(super) struct Ended {
    pub(super) records: Vec<Record>,
    pub(super) verdict: Verdict,
}

/// Runs a seed on this thread.
pub(super) fn run(seed: u64) -> Ended {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let records = runtime.expect("a runtime can be built").block_on(history(seed));
    let verdict = check(&records);
    Ended { records, verdict }
}

async fn history(seed: u64) -> Vec<Record> {
    let plan = Plan::drawn(seed);
    let history = Arc::new(History::begin());
    let max_staleness = u64::try_from(plan.max_staleness.as_nanos()).unwrap_or(u64::MAX);
    history.record(history.now(), Happened::Promise { max_staleness, seed });
    let sim = Arc::new(Sim::new(seed, plan, &history));
    let world = spawn(Arc::clone(&sim.world).run());
    for object in &sim.objects {
        sim.register.commit(&object.name);
    }
    (0..sim.plan.instances).for_each(|place| sim.restart(place));
    sim.play().await;
    for place in &sim.places {
        let node = lock(&place.node).take();
        if let Some(node) = node {
            node.kill().await;
            node.gate.clear();
        }
    }
    drop(world);
    sim.world.end();
    history.finish()
}

impl Sim {
    fn new(seed: u64, plan: Plan, history: &Arc<History>) -> Self {
        let world = World::begin();
        let store = Store::new(plan.shards, plan.limits, Clock::tokio(), 1_700_000_000_000);
        let sea = Sea::new(seed, &world, &store, history, plan.weather.clone());
        let register = Register::new(seed, &world, history, plan.manners.clone());
        let place =
            |_| Place { faults: Arc::default(), node: Mutex::default(), processes: AtomicU32::new(0) };
        Self {
            seed,
            places: (0..plan.instances).map(place).collect(),
            plan,
            world,
            sea,
            history: Arc::clone(history),
            register,
            objects: objects(),
            client: Arc::default(),
            faultless: CancellationToken::new(),
            quiet: CancellationToken::new(),
            named: Mutex::default(),
            told: Mutex::default(),
            events: AtomicU64::new(0),
        }
    }

    /// Trouble, then calm, then the reckoning.
    async fn play(self: &Arc<Self>) {
        let mut draw = Rng::of(self.seed, "play");
        let writers: Vec<_> = (0..self.plan.writers).map(|it| spawn(writer(Arc::clone(self), it))).collect();
        let readers: Vec<_> = (0..self.plan.readers).map(|it| spawn(reader(Arc::clone(self), it))).collect();
        let strikes: Vec<_> = (0..self.plan.faults).map(|it| spawn(strike(Arc::clone(self), it))).collect();
        self.world.pause(&mut draw, self.plan.lasts).await;
        self.faultless.cancel();
        for task in strikes.into_iter().chain(writers) {
            task.await.expect("no task of a simulation fails");
        }
        self.calm(&mut draw).await;
        for object in &self.objects {
            let told = lock(&self.told).get(&object.name).copied();
            if told != self.register.versions().get(&object.name).copied() {
                settle(self, &mut draw, object).await;
            }
        }
        // What was made stale softly is answered once more, and refreshed by that.
        self.read_all(&mut draw).await;
        self.world.pause(&mut draw, 1_000 * MS).await;
        self.history.record(self.history.now(), Happened::Settled);
        self.read_all(&mut draw).await;
        self.quiet.cancel();
        for task in readers {
            task.await.expect("no task of a simulation fails");
        }
    }

    /// Mends everything and waits until every instance is attached.
    async fn calm(self: &Arc<Self>, draw: &mut Rng) {
        self.sea.set_weather(Weather::calm());
        self.register.sound.store(true, SeqCst);
        // What is still under way has met the weather it began in.
        self.world.pause(draw, self.plan.timeout).await;
        let begun = self.world.now();
        while !(0..self.plan.instances).all(|place| self.node(place).coherence.attached()) {
            assert!(
                self.world.now() < begun + ATTACH,
                "seed {}: an instance does not attach again",
                self.seed
            );
            self.world.pause(draw, 20 * MS).await;
        }
    }

    /// Every client reads everything everywhere.
    async fn read_all(self: &Arc<Self>, draw: &mut Rng) {
        let floors = [(Floor::None, false), (Floor::Strict, true)];
        for (floor, strict) in floors {
            let mut reads = Vec::new();
            for place in 0..self.plan.instances {
                for object in &self.objects {
                    let (mut draw, floor) = (draw.fork(), floor.clone());
                    let demand = Demand { strict, ..Demand::default() };
                    reads.push(Box::pin(
                        async move { read(self, &mut draw, place, object, floor, demand).await },
                    ));
                }
            }
            join_all(reads).await;
        }
    }

    /// The process at a place.
    pub(super) fn node(&self, place: usize) -> Arc<Node> {
        lock(&self.places[place].node).clone().expect("every place has had a process from the start")
    }

    /// Another process takes the place, unless the present one lives.
    pub(super) fn restart(&self, place: usize) {
        let here = &self.places[place];
        let mut node = lock(&here.node);
        if node.as_ref().is_some_and(|node| !node.is_dead()) {
            return;
        }
        let number = here.processes.fetch_add(1, SeqCst);
        let process = u32::try_from(place).expect("few places") * 1000 + number;
        if let Some(dead) = node.take() {
            dead.gate.clear();
        }
        *node = Some(Node::start(&self.plan, &self.sea, &self.register, &here.faults, place, process));
    }

    /// A new event's number.
    pub(super) fn number(&self) -> u64 {
        self.events.fetch_add(1, SeqCst)
    }

    /// An event was acknowledged to its publisher, who may tell readers.
    pub(super) fn acknowledge(&self, event: u64, id: &LogId, covers: &Versions) {
        lock(&self.named).push((event, id.clone(), covers.clone()));
    }

    /// One of the last events that cover the object.
    pub(super) fn acknowledged(&self, draw: &mut Rng, object: &str) -> Option<(u64, LogId)> {
        let named = lock(&self.named);
        let of = named.iter().rev().filter(|(_, _, covers)| covers.contains_key(object));
        let of: Vec<_> = of.take(3).map(|(event, id, _)| (*event, id.clone())).collect();
        (!of.is_empty()).then(|| draw.pick(&of).clone())
    }

    /// A hard event for these versions was acknowledged.
    pub(super) fn invalidated(&self, covers: &Versions) {
        let mut told = lock(&self.told);
        for (object, version) in covers {
            let told = told.entry(object.clone()).or_default();
            *told = (*told).max(*version);
        }
    }

    /// Where an event is logged.
    pub(super) fn shards_of(&self, targets: &[Target]) -> BTreeSet<Shard> {
        let count = self.plan.shards;
        let mut shards = BTreeSet::new();
        for target in targets {
            match target {
                Target::Key(ns, key) if **ns != *ACCOUNTS => drop(shards.insert(count.of(ns, key))),
                _ => shards.extend(count.all()),
            }
        }
        shards
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
