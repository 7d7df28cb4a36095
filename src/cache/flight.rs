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

/// A load under way, as those who wait for it see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Flying {
    /// A stale copy that the load has come upon: whoever may be answered with it need not wait.
    pub(super) stale: Option<Landed>,
    /// How it ended.
    pub(super) ended: Option<Outcome>,
}

/// What a load tells those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Teller(watch::Sender<Flying>);

impl Teller {
    /// A stale copy, while the load goes on.
    pub(super) fn stale(&self, landed: Landed) {
        self.0.send_modify(|flying| flying.stale = Some(landed));
    }
}

/// A seat on a flight.
pub(super) struct Seat {
    /// This request started it.
    pub(super) mine: bool,
    pub(super) flying: watch::Receiver<Flying>,
}

impl Seat {
    /// How the load ended.
    pub(super) async fn landed(mut self) -> Outcome {
        match self.flying.wait_for(|flying| flying.ended.is_some()).await {
            Ok(flying) => flying.ended.clone().expect("waited until it is there"),
            Err(_) => Err(lost()),
        }
    }
}

/// The load panicked or was cut short by the stop.
pub(super) fn lost() -> GetError {
    GetError::Unavailable("the load ended without a result".to_owned())
}

/// The loads of one namespace that are under way: as many entries as loads.
#[derive(Default)]
pub(super) struct Flights {
    flying: Arc<DashMap<Arc<str>, watch::Receiver<Flying>>>,
}

impl Flights {
    /// Whether a load of `key` is under way.
    pub(super) fn has(&self, key: &str) -> bool {
        self.flying.contains_key(key)
    }

    /// Joins the load of `key` that is under way, or starts one.
    pub(super) fn board<F>(
        &self,
        supervisor: &Supervisor,
        key: Arc<str>,
        load: impl FnOnce(Arc<Teller>) -> F,
    ) -> Seat
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let flight = match self.flying.entry(Arc::clone(&key)) {
            Entry::Occupied(flying) => return Seat { mine: false, flying: flying.get().clone() },
            Entry::Vacant(vacant) => vacant,
        };
        let teller = Arc::new(Teller::default());
        let flying = teller.0.subscribe();
        flight.insert(flying.clone());
        let guard = Landing { flying: Arc::clone(&self.flying), key };
        let load = load(Arc::clone(&teller));
        drop(supervisor.spawn(Stage::Load, "cache.load", async move {
            let outcome = load.await;
            // Off the board first: whoever comes now starts its own.
            drop(guard);
            teller.0.send_modify(|flying| flying.ended = Some(outcome));
        }));
        Seat { mine: true, flying }
    }
}

/// Takes a flight off the board, however it ends.
struct Landing {
    flying: Arc<DashMap<Arc<str>, watch::Receiver<Flying>>>,
    key: Arc<str>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flying.remove(&self.key);
    }
}
