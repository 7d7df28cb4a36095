//! What is known of writes while they are made: their numbers, the last that were taken, and those of which nobody knows.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;

use super::spaces::Object;
use super::world::World;
use super::written::{self, ONCE};
use crate::harness::origin::Effect;
use crate::history::{Answer, Happened, Mode};

/// Writes that readers may name.
const RECENT_MAX: usize = 16;

/// A write that was taken.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) number: u64,
    pub(super) object: Object,
    /// `Coherd-Log-Id`.
    pub(super) log_id: String,
}

/// A write that is about to be sent.
pub(super) struct Begun {
    pub(super) number: u64,
    pub(super) object: Object,
    pub(super) put: bool,
    pub(super) mode: Mode,
    pub(super) instance: String,
    started: u64,
}

#[derive(Default)]
struct State {
    last: u64,
    recent: VecDeque<Taken>,
    /// Objects that were written once.
    once: Vec<Object>,
    /// Writes to the origin whose answer was lost, and objects of which that was a removal.
    unknown: HashSet<u64>,
    removed: HashSet<Object>,
}

/// The ledger of one run.
pub(super) struct Ledger {
    world: Arc<World>,
    state: Mutex<State>,
}

impl Ledger {
    /// An empty one.
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), state: Mutex::default() }
    }

    /// A write begins now. It is to end with [`Self::end`].
    pub(super) fn begin(&self, object: Object, put: bool, mode: Mode, instance: &str) -> Begun {
        let mut state = self.lock();
        state.last += 1;
        if object.key.starts_with(ONCE) {
            state.once.push(object.clone());
        }
        let started = self.world.history().now();
        Begun { number: state.last, object, put, mode, instance: instance.to_owned(), started }
    }

    /// What its client learned: how it is known from now on, if it was taken.
    pub(super) fn end(&self, begun: Begun, answer: Answer) -> Option<Taken> {
        let Begun { number, object, put, mode, instance, started } = begun;
        let mut state = self.lock();
        let taken = match &answer {
            Answer::Accepted(accepted) => {
                let taken = Taken { number, object: object.clone(), log_id: accepted.log_id.clone() };
                state.recent.push_back(taken.clone());
                if RECENT_MAX < state.recent.len() {
                    state.recent.pop_front();
                }
                Some(taken)
            }
            Answer::Unknown { .. } => {
                if mode != Mode::Behind {
                    state.unknown.insert(number);
                    if !put {
                        state.removed.insert(object.clone());
                    }
                }
                None
            }
        };
        let object = object.to_string();
        self.world
            .history()
            .record(started, Happened::Write { write: number, object, put, mode, instance, answer });
        taken
    }

    /// Every object that clients write.
    pub(super) fn objects(&self) -> Vec<Object> {
        written::objects().chain(self.lock().once.iter().cloned()).collect()
    }

    /// One of the last writes that were taken.
    pub(super) fn recent(&self, rng: &mut StdRng) -> Option<Taken> {
        self.lock().recent.iter().choose(rng).cloned()
    }

    /// Whether the origin has what a write has put there of which no instance may know: its answer was lost, and it may
    /// have come long after.
    pub(super) fn unheard(&self, object: &Object) -> bool {
        let writes = self.world.origin.writes(&object.to_string());
        let Some(last) = writes.iter().rev().find(|write| write.effect == Effect::Applied) else {
            return false;
        };
        let state = self.lock();
        match &last.body {
            Some(body) => {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                body["version"].as_u64().is_some_and(|number| state.unknown.contains(&number))
            }
            None => state.removed.contains(object),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
