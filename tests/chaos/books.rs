//! What the workload knows: the version of every object, the events that were sent, and what became of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use super::spaces::{ASIDE, Object, RACED, Target, objects, serves_stale};
use super::world::World;
use crate::history::{Acknowledged, Happened, History, Versions, Way};

/// Acknowledged events that readers may name.
const RECENT_MAX: usize = 8;

/// An event that is about to be sent.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Its number.
    pub(super) number: u64,
    /// What it names.
    pub(super) target: Target,
    /// Copies become stale instead of gone.
    pub(super) soft: bool,
    covers: Versions,
    started: u64,
}

impl Event {
    /// What it says as its reason, so that it is known again in the log.
    pub(super) fn reason(&self) -> String {
        format!("event {}", self.number)
    }
}

/// The number of the event that gave that reason.
pub(super) fn number_in(reason: &str) -> Option<u64> {
    reason.strip_prefix("event ")?.parse().ok()
}

#[derive(Default)]
struct State {
    versions: BTreeMap<Object, u64>,
    /// The application's own, for what it caches aside; an object that was given up stays in it.
    database: HashMap<Object, u64>,
    /// The highest version that an acknowledged event covers, as far as it rules out older ones for good.
    acknowledged: BTreeMap<String, u64>,
    events: u64,
    /// Sent, and not seen in the log yet.
    unseen: HashMap<u64, Event>,
    recent: VecDeque<(u64, String)>,
}

/// The books of one run.
pub(super) struct Books {
    world: Arc<World>,
    state: Mutex<State>,
}

impl Books {
    /// Gives every object its first version.
    pub(super) fn open(world: Arc<World>) -> Self {
        let books = Self { world, state: Mutex::default() };
        for object in objects() {
            books.commit(&object);
        }
        books
    }

    /// The history.
    pub(super) fn history(&self) -> &History {
        self.world.history()
    }

    /// The object has its next version from now on, which is given.
    pub(super) fn commit(&self, object: &Object) -> u64 {
        let mut state = self.lock();
        let started = self.history().now();
        let name = object.to_string();
        let version = match object.space {
            ASIDE => {
                let version = state.database.entry(object.clone()).or_default();
                *version += 1;
                *version
            }
            _ => self.world.origin.bump(&name),
        };
        state.versions.insert(object.clone(), version);
        self.history().record(started, Happened::Commit { object: name, version });
        version
    }

    /// The application reads its own database: what it says now, recorded as a load.
    pub(super) fn query(&self, object: &Object) -> u64 {
        let started = self.history().now();
        let version = self.lock().database[object];
        self.history().record(started, Happened::Load { object: object.to_string(), version: Some(version) });
        version
    }

    /// The objects that exist.
    pub(super) fn objects(&self) -> Vec<Object> {
        self.lock().versions.keys().cloned().collect()
    }

    /// One of the objects of a namespace that are not there for races.
    pub(super) fn any_of(&self, space: &str, rng: &mut StdRng) -> Object {
        let state = self.lock();
        let hot = |object: &&Object| object.space == space && !RACED.contains(&object.key.as_str());
        let object = state.versions.keys().filter(hot).choose(rng);
        object.cloned().expect("every namespace has objects")
    }

    /// Nobody knows what became of a write to the object: another takes its place.
    pub(super) fn retire(&self, object: &Object) {
        let (key, generation) = object.key.split_once(".g").unwrap_or((&object.key, "0"));
        let generation: u32 = generation.parse().expect("a generation is a number");
        self.lock().versions.remove(object);
        self.commit(&Object::new(object.space, format!("{key}.g{}", generation + 1)));
    }

    /// An event about what the target names, as of now. It is to end with [`Self::close`].
    pub(super) fn event(&self, target: Target, soft: bool) -> Event {
        let mut state = self.lock();
        state.events += 1;
        let named = state.versions.iter().filter(|(object, _)| target.names(object));
        let covers = named.map(|(object, version)| (object.to_string(), *version)).collect();
        let event = Event { number: state.events, target, soft, covers, started: self.history().now() };
        state.unseen.insert(event.number, event.clone());
        event
    }

    /// What became of the event.
    pub(super) fn close(&self, event: &Event, way: Way, acknowledged: Acknowledged) {
        let mut state = self.lock();
        if let Acknowledged::Logged { id } | Acknowledged::Everywhere { id, .. } = &acknowledged {
            state.acknowledge(event);
            state.recent.push_back((event.number, id.clone()));
            if RECENT_MAX < state.recent.len() {
                state.recent.pop_front();
            }
        }
        let Event { number, soft, covers, started, .. } = event.clone();
        self.history()
            .record(started, Happened::Invalidate { event: number, way, covers, soft, acknowledged });
    }

    /// The log holds that event.
    pub(super) fn logged(&self, number: u64) {
        let mut state = self.lock();
        if let Some(event) = state.unseen.remove(&number) {
            self.history().record(self.history().now(), Happened::Logged { event: number });
            state.acknowledge(&event);
        }
    }

    /// One of the last events whose id is known.
    pub(super) fn recent(&self, rng: &mut StdRng) -> Option<(u64, String)> {
        self.lock().recent.iter().choose(rng).cloned()
    }

    /// Objects whose last version no acknowledged event covers: copies may be older for good.
    pub(super) fn unannounced(&self) -> Vec<Object> {
        let state = self.lock();
        let unannounced = state.versions.iter().filter(|(object, version)| {
            // Before the first version there was none that a copy could be of.
            state.acknowledged.get(&object.to_string()).copied().unwrap_or(1) < **version
        });
        unannounced.map(|(object, _)| object.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn acknowledge(&mut self, event: &Event) {
        for (object, version) in &event.covers {
            // Where stale copies are served, a soft event leaves them to be served once more.
            let space = object.split('/').next().unwrap_or_default();
            if event.soft && serves_stale(space) {
                continue;
            }
            let known = self.acknowledged.entry(object.clone()).or_default();
            *known = (*known).max(*version);
        }
    }
}
