//! Flights: one load per key in this process. Whoever asks meanwhile joins; whoever goes away cancels nothing.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;

use super::answer::{GetError, Via};
use super::copy::Copy;
use crate::clock::Boot;
use crate::supervisor::{Stage, Supervisor};

/// What a load brought.
#[derive(Clone, Debug)]
pub(super) struct Landed {
    pub(super) copy: Arc<Copy>,
    pub(super) via: Via,
    /// Before this moment nothing of it was read: later requests may not use it on its word alone.
    pub(super) read_began: Boot,
}

/// How a load ended.
pub(super) type Outcome = Result<Landed, GetError>;

/// A seat on a flight.
pub(super) struct Seat {
    /// This request started it.
    pub(super) mine: bool,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Seat {
    /// How the load ended.
    pub(super) async fn landed(mut self) -> Outcome {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().expect("waited until it is there"),
            // The load panicked or was cut short by the stop.
            Err(_) => Err(GetError::Unavailable("the load ended without a result".to_owned())),
        }
    }
}

/// The loads of one namespace that are under way: as many entries as loads.
#[derive(Default)]
pub(super) struct Flights {
    flying: Arc<DashMap<Arc<str>, watch::Receiver<Option<Outcome>>>>,
}

impl Flights {
    /// Joins the load of `key` that is under way, or starts one.
    pub(super) fn board<F>(&self, supervisor: &Supervisor, key: Arc<str>, load: impl FnOnce() -> F) -> Seat
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let flight = match self.flying.entry(Arc::clone(&key)) {
            Entry::Occupied(flying) => return Seat { mine: false, outcome: flying.get().clone() },
            Entry::Vacant(vacant) => vacant,
        };
        let (landing, outcome) = watch::channel(None);
        flight.insert(outcome.clone());
        let guard = Landing { flying: Arc::clone(&self.flying), key };
        let load = load();
        drop(supervisor.spawn(Stage::Load, "cache.load", async move {
            let outcome = load.await;
            // Off the board first: whoever comes now starts its own.
            drop(guard);
            landing.send_replace(Some(outcome));
        }));
        Seat { mine: true, outcome }
    }
}

/// Takes a flight off the board, however it ends.
struct Landing {
    flying: Arc<DashMap<Arc<str>, watch::Receiver<Option<Outcome>>>>,
    key: Arc<str>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flying.remove(&self.key);
    }
}
