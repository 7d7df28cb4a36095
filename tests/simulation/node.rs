//! One process of a simulation: the rooms of an instance without a door, until it is killed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use coherd::backend::Backend;
use coherd::cache::Cache;
use coherd::clock::Clock;
use coherd::coherence::{self, Coherence};
use coherd::refresh::{self, Queue};
use coherd::supervisor::{Stage, Supervisor};
use coherd::telemetry::Metrics;
use coherd::telemetry::trace::Tracer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backend::Remote;
use super::origin::{Desk, Register};
use super::plan::{ACCOUNTS, CARTS, Plan, USERS, namespace};
use super::rng::Rng;
use super::sea::Sea;
use super::wire::{Faults, Wire};
use super::world::{Gate, paced};

/// They count and decide nothing: all processes of all seeds share them.
static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    Metrics::new(&[USERS.to_owned(), CARTS.to_owned()], "0", "simulation").expect("metrics")
});

/// Twice as many loads as refreshes at once.
const REFRESHES: usize = 4;

/// The stages in the order of an orderly stop.
const STAGES: [Stage; 5] = [Stage::Door, Stage::Load, Stage::Write, Stage::Coherence, Stage::Backend];

/// A process.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) cache: Arc<Cache>,
    pub(super) coherence: Arc<Coherence>,
    pub(super) wire: Arc<Wire>,
    /// Everything that the process does waits here while it is stopped.
    pub(super) gate: Arc<Gate>,
    dead: CancellationToken,
    supervisor: Supervisor,
}

impl Node {
    /// Starts the process of that number as the instance at `place`.
    pub(super) fn start(
        plan: &Plan,
        sea: &Arc<Sea>,
        register: &Arc<Register>,
        faults: &Arc<Faults>,
        place: usize,
        process: u32,
    ) -> Arc<Self> {
        let name = format!("i{place}");
        let gate = Arc::new(Gate::default());
        let wire = Wire::new(sea, &gate, faults, process, plan.timeout);
        let backend: Arc<dyn Backend> = Arc::new(Remote(Arc::clone(&wire)));
        // Machines were booted at different times.
        let age = Rng::of(sea.seed, ("boot", place)).between(3600, 7200);
        let clock = Clock::Tokio(Instant::now() - std::time::Duration::from_secs(age));
        let supervisor = Supervisor::new(METRICS.tasks.clone());
        let spaces = [USERS, CARTS].map(|name| (namespace(name), (1, plan.max_staleness)));
        let coherence = Coherence::new(coherence::Settings {
            tracer: Tracer::default(),
            backend: Arc::clone(&backend),
            clock: clock.clone(),
            metrics: Arc::clone(&METRICS.coherence),
            instance: name.clone(),
            process,
            slots: plan.slots,
            namespaces: HashMap::from(spaces),
            depended_on: HashSet::from([namespace(ACCOUNTS)]),
            max_staleness: plan.max_staleness,
            recent: std::time::Duration::ZERO,
        });
        let mut users = plan.space(USERS);
        users.origin = Some(Arc::new(Desk::new(register, USERS, &gate, process)));
        let depth = METRICS.namespace(USERS).refreshes_waiting.clone();
        let wishes = Arc::new(Queue::new(clock.clone(), depth));
        users.refreshers = Some(wishes.clone());
        let spaces = vec![users, plan.space(CARTS)];
        let cache = Cache::new(spaces, &name, backend, Arc::clone(&coherence), supervisor.clone(), &METRICS);
        let cache = Arc::new(cache);
        coherence.start(&supervisor);
        refresh::start(&supervisor, &cache, USERS, &wishes, &name, REFRESHES);
        Arc::new(Self { name, cache, coherence, wire, gate, dead: CancellationToken::new(), supervisor })
    }

    /// A call within the process; `None` if it dies meanwhile.
    pub(super) async fn call<T>(
        &self,
        draw: Rng,
        limit: u64,
        call: impl Future<Output = T>,
    ) -> Option<Ended<T>> {
        let call = Box::pin(call);
        let call = paced(&self.wire.sea.world, &self.gate, draw, limit, call);
        let ended = self.dead.run_until_cancelled(call).await?;
        Some(ended.map_or(Ended::Hung, Ended::Answered))
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// SIGKILL: what was sent is on its way, nothing else will be.
    pub(super) async fn kill(&self) {
        self.wire.kill();
        self.dead.cancel();
        for stage in STAGES {
            self.supervisor.stop(stage, Instant::now()).await;
        }
    }
}

/// How a call ended.
pub(super) enum Ended<T> {
    /// With an answer.
    Answered(T),
    /// The caller has waited long enough.
    Hung,
}
