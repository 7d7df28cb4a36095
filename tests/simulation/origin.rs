//! The origin of a simulation: objects with versions. A load reads the version on arrival and answers later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use coherd::guard::Urgency;
use coherd::model::{Content, Keep, Key, Loaded, Stated, Tag, Value};
use coherd::origin::{Fetched, Origin, OriginError, Validators};

use super::rng::Rng;
use super::world::{Gate, MS, World};
use crate::history::{Happened, History, Versions};

/// How the origin behaves. Likelihoods are in thousandths.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    /// Between reading a version and its answer: usually so many nanoseconds at the most...
    pub(super) usual: u64,
    /// ...and this often...
    pub(super) slow: u64,
    /// ...so many.
    pub(super) slow_max: u64,
    /// It fails.
    pub(super) fail: u64,
    /// It says that a version still stands, where it is asked so.
    pub(super) conditional: bool,
}

impl Manners {
    pub(super) fn drawn(draw: &mut Rng) -> Self {
        Self {
            usual: *draw.pick(&[5, 50, 300]) * MS,
            slow: *draw.pick(&[0, 100, 300]),
            slow_max: *draw.pick(&[400, 1500]) * MS,
            fail: *draw.pick(&[0, 0, 30, 200]),
            conditional: draw.per_mille(400),
        }
    }
}

/// All objects.
pub(super) struct Register {
    seed: u64,
    world: Arc<World>,
    history: Arc<History>,
    manners: Manners,
    versions: Mutex<Versions>,
    /// How many loads fail beside [`Manners::fail`].
    pub(super) failing: AtomicU64,
    /// From here on none does.
    pub(super) sound: AtomicBool,
}

impl Register {
    pub(super) fn new(seed: u64, world: &Arc<World>, history: &Arc<History>, manners: Manners) -> Arc<Self> {
        let (world, history) = (Arc::clone(world), Arc::clone(history));
        Arc::new(Self {
            seed,
            world,
            history,
            manners,
            versions: Mutex::default(),
            failing: AtomicU64::new(0),
            sound: AtomicBool::new(false),
        })
    }

    /// An object's next version.
    pub(super) fn commit(&self, object: &str) -> u64 {
        let started = self.history.now();
        let version = {
            let mut versions = lock(&self.versions);
            let version = versions.entry(object.to_owned()).or_default();
            *version += 1;
            *version
        };
        self.history.record(started, Happened::Commit { object: object.to_owned(), version });
        version
    }

    /// What is true now.
    pub(super) fn versions(&self) -> Versions {
        lock(&self.versions).clone()
    }

    /// Reads an object as an instance or a client does; the version is that of the arrival.
    pub(super) async fn read(
        &self,
        gate: &Arc<Gate>,
        draw: &mut Rng,
        object: &str,
    ) -> Result<u64, OriginError> {
        let manners = &self.manners;
        let travel = draw.below(5 * MS);
        self.world.pause_at(gate, draw, travel).await;
        let started = self.history.now();
        let version = lock(&self.versions).get(object).copied();
        let slow = draw.per_mille(manners.slow);
        let takes = draw.below(if slow { manners.slow_max } else { manners.usual });
        self.world.pause_at(gate, draw, takes).await;
        let fail = if self.sound.load(SeqCst) { 0 } else { manners.fail + self.failing.load(SeqCst) };
        if draw.per_mille(fail) {
            return Err(OriginError::Status(500));
        }
        self.history.record(started, Happened::Load { object: object.to_owned(), version });
        version.ok_or(OriginError::Status(500))
    }
}

/// The tags that an answer for this object carries.
pub(super) fn tags_of(object: &str) -> Vec<Tag> {
    let last = object.bytes().last().unwrap_or_default();
    vec![Tag::new(if last.is_multiple_of(2) { "even" } else { "odd" }).expect("a tag")]
}

/// A namespace's objects, as one process asks for them.
pub(super) struct Desk {
    pub(super) register: Arc<Register>,
    pub(super) namespace: &'static str,
    pub(super) gate: Arc<Gate>,
    pub(super) process: u32,
    asked: Mutex<HashMap<String, u64>>,
}

impl Desk {
    pub(super) fn new(
        register: &Arc<Register>,
        namespace: &'static str,
        gate: &Arc<Gate>,
        process: u32,
    ) -> Self {
        let (register, gate) = (Arc::clone(register), Arc::clone(gate));
        Self { register, namespace, gate, process, asked: Mutex::default() }
    }
}

#[async_trait]
impl Origin for Desk {
    async fn load(
        &self,
        key: &Key,
        held: Option<&Validators>,
        _urgency: Urgency,
    ) -> Result<Fetched, OriginError> {
        let object = format!("{}/{key}", self.namespace);
        let asked = {
            let mut asked = lock(&self.asked);
            let asked = asked.entry(object.clone()).or_default();
            *asked += 1;
            *asked
        };
        let mut draw = Rng::of(self.register.seed, ("load", self.process, &object, asked));
        let version = self.register.read(&self.gate, &mut draw, &object).await?;
        let etag = format!("\"v{version}\"");
        if self.register.manners.conditional
            && held.and_then(|held| held.etag.as_deref()).is_some_and(|held| held == etag)
        {
            let age = Duration::ZERO;
            return Ok(Fetched::NotModified { lifetime: Stated::default(), age, keep: Keep::Yes });
        }
        let value = Value { body: version.to_string().into(), etag: Some(etag.into()), ..Value::default() };
        Ok(Fetched::Loaded(Loaded {
            content: Content::Present(value),
            tags: tags_of(&object),
            lifetime: Stated::default(),
            age: Duration::ZERO,
            keep: Keep::Yes,
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
