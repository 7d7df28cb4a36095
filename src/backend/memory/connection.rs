//! Whether one instance may use the store: the connection that a real server would have.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backend::{BackendError, LinkState};

/// A connection that can be cut, given up and made again.
#[derive(Debug)]
pub(super) struct Connection {
    state: Mutex<State>,
    link: watch::Sender<LinkState>,
}

#[derive(Debug)]
struct State {
    cut: bool,
    generation: u64,
    /// Ends with this connection; replaced with the next.
    alive: CancellationToken,
    /// Why it ended.
    why: String,
}

impl Connection {
    /// Made at once.
    pub(super) fn new() -> Self {
        let state = State { cut: false, generation: 1, alive: CancellationToken::new(), why: String::new() };
        Self { state: Mutex::new(state), link: watch::Sender::new(up(1)) }
    }

    pub(super) fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    /// What is cancelled when this connection ends, if there is one.
    pub(super) fn alive(&self) -> Result<CancellationToken, BackendError> {
        let state = self.state();
        if state.alive.is_cancelled() {
            return Err(BackendError::Unavailable(state.why.clone()));
        }
        Ok(state.alive.clone())
    }

    /// Ends it.
    pub(super) fn down(&self, why: &str) {
        let mut state = self.state();
        why.clone_into(&mut state.why);
        state.alive.cancel();
        self.link.send_replace(LinkState::Down(why.to_owned()));
    }

    /// Makes another if this one has ended and the way is not cut.
    pub(super) fn make(&self) {
        let mut state = self.state();
        if !state.cut && state.alive.is_cancelled() {
            state.alive = CancellationToken::new();
            state.generation += 1;
            self.link.send_replace(up(state.generation));
        }
    }

    /// Cuts the way to the store, or mends it.
    pub(super) fn cut(&self, cut: bool) {
        self.state().cut = cut;
        if cut { self.down("the connection is cut") } else { self.make() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn up(generation: u64) -> LinkState {
    LinkState::Up { generation, server: "memory".to_owned(), warnings: Vec::new() }
}
