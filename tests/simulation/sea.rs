//! What lies between the store and the instances: who is subscribed, and what becomes of each announcement on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use coherd::backend::memory::{Memory, Store};
use coherd::backend::{Backend as _, Signal, Subscription};
use coherd::model::Shard;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::rng::Rng;
use super::weather::{Carried, Weather};
use super::world::{Gate, World};
use crate::history::{Happened, History};

/// The sea.
pub(super) struct Sea {
    pub(super) seed: u64,
    pub(super) world: Arc<World>,
    pub(super) store: Arc<Store>,
    pub(super) history: Arc<History>,
    weather: Mutex<Arc<Weather>>,
    tap: Mutex<Box<dyn Subscription>>,
    lines: Mutex<Lines>,
    /// Events that were sent, and the shards that have yet to log them.
    expected: Mutex<BTreeMap<u64, BTreeSet<Shard>>>,
}

#[derive(Default)]
struct Lines {
    open: Vec<Line>,
    made: u64,
}

/// The way to one subscriber.
struct Line {
    draw: Rng,
    gate: Arc<Gate>,
    /// Ends with the connection.
    alive: CancellationToken,
    deaf: Arc<std::sync::atomic::AtomicBool>,
    tell: mpsc::UnboundedSender<Option<Signal>>,
    /// When the last announcement gets there.
    last: u64,
}

impl Sea {
    pub(super) fn new(
        seed: u64,
        world: &Arc<World>,
        store: &Arc<Store>,
        history: &Arc<History>,
        weather: Weather,
    ) -> Arc<Self> {
        let tap = Memory::join(store).subscribe().now_or_never();
        let tap = tap.and_then(Result::ok).expect("an embedded store is there");
        Arc::new(Self {
            seed,
            world: Arc::clone(world),
            store: Arc::clone(store),
            history: Arc::clone(history),
            weather: Mutex::new(Arc::new(weather)),
            tap: Mutex::new(tap),
            lines: Mutex::default(),
            expected: Mutex::default(),
        })
    }

    /// What the network is like now.
    pub(super) fn weather(&self) -> Arc<Weather> {
        Arc::clone(&lock(&self.weather))
    }

    /// From here on it is like this.
    pub(super) fn set_weather(&self, weather: Weather) {
        *lock(&self.weather) = Arc::new(weather);
    }

    /// An event will be logged in these shards.
    pub(super) fn expect(&self, event: u64, shards: impl IntoIterator<Item = Shard>) {
        lock(&self.expected).insert(event, shards.into_iter().collect());
    }

    /// Opens a line to a subscriber.
    pub(super) fn subscribe(
        &self,
        gate: &Arc<Gate>,
        alive: CancellationToken,
        deaf: &Arc<std::sync::atomic::AtomicBool>,
    ) -> Heard {
        let (tell, told) = mpsc::unbounded_channel();
        let mut lines = lock(&self.lines);
        lines.made += 1;
        let draw = Rng::of(self.seed, ("line", lines.made));
        let (gate, deaf) = (Arc::clone(gate), Arc::clone(deaf));
        lines.open.push(Line { draw, gate, alive: alive.clone(), deaf, tell, last: 0 });
        Heard { alive, told }
    }

    /// Sends what the store has announced since on its way.
    pub(super) fn spread(&self) {
        loop {
            let signal = lock(&self.tap).next().now_or_never().flatten();
            let Some(signal) = signal else { return };
            if let Signal::Event { shard, logged, .. } = &signal {
                self.logged(*shard, &logged.event.provenance.source);
            }
            let weather = self.weather();
            let mut lines = lock(&self.lines);
            lines.open.retain(|line| !line.alive.is_cancelled() && !line.tell.is_closed());
            for line in &mut lines.open {
                line.carry(&self.world, &weather, &signal);
            }
        }
    }

    /// An event is known by its `source`. It is in the log once every shard that it concerns has it.
    fn logged(&self, shard: Shard, source: &str) {
        let Some(event) = source.strip_prefix('e').and_then(|number| number.parse().ok()) else { return };
        let mut expected = lock(&self.expected);
        let Some(missing) = expected.get_mut(&event) else { return };
        missing.remove(&shard);
        if missing.is_empty() {
            expected.remove(&event);
            self.history.record(self.history.now(), Happened::Logged { event });
        }
    }
}

impl Line {
    fn carry(&mut self, world: &Arc<World>, weather: &Weather, signal: &Signal) {
        let now = world.now();
        if self.deaf.load(std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        match weather.carried(&mut self.draw) {
            Carried::Dropped => {}
            Carried::Lost { delay } => self.send(world, (now + delay).max(self.last), Some(Signal::Lost)),
            Carried::Ended { delay } => self.send(world, (now + delay).max(self.last), None),
            Carried::After { delay, again, overtakes } => {
                let at = if overtakes { now + delay } else { (now + delay).max(self.last) };
                self.last = at.max(self.last);
                self.send(world, at, Some(signal.clone()));
                if let Some(again) = again {
                    self.send(world, at + again, Some(signal.clone()));
                }
            }
        }
    }

    fn send(&mut self, world: &Arc<World>, at: u64, signal: Option<Signal>) {
        let tell = self.tell.clone();
        world.at_gate(&self.gate, &mut self.draw, at - world.now(), move || {
            // Whoever has gone away hears nothing.
            tell.send(signal).ok();
        });
    }
}

/// The subscriber's end.
pub(super) struct Heard {
    alive: CancellationToken,
    told: mpsc::UnboundedReceiver<Option<Signal>>,
}

#[async_trait]
impl Subscription for Heard {
    async fn next(&mut self) -> Option<Signal> {
        tokio::select! {
            biased;
            () = self.alive.cancelled() => None,
            signal = self.told.recv() => signal.flatten(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
