//! An instance's way to the store: every operation and its answer travel, and either may be lost, late or cut off.
//!
//! What an instance has sent takes effect whenever it arrives, also after the instance gave it up or died. Nothing of a
//! connection that has ended is believed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coherd::backend::memory::Memory;
use coherd::backend::{BackendError, LinkState};
use futures_util::FutureExt as _;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::rng::Rng;
use super::sea::{Heard, Sea};
use super::weather::Fate;
use super::world::{Gate, MS};

/// What is wrong with a wire, beside the weather.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// No connection can be made or kept.
    pub(super) cut: AtomicBool,
    /// Requests vanish, and nobody is told.
    pub(super) mute: AtomicBool,
    /// Replies vanish, and nobody is told.
    pub(super) unanswered: AtomicBool,
    /// Announcements vanish, and nobody is told.
    pub(super) deaf: Arc<AtomicBool>,
    /// Every message takes so many milliseconds longer, at the most.
    pub(super) slower: std::sync::atomic::AtomicU64,
}

/// One process's wire.
pub(super) struct Wire {
    pub(super) sea: Arc<Sea>,
    pub(super) gate: Arc<Gate>,
    pub(super) faults: Arc<Faults>,
    pub(super) memory: Arc<Memory>,
    /// Which process.
    process: u32,
    timeout: u64,
    link: watch::Sender<LinkState>,
    state: Mutex<State>,
}

/// Whoever waits for an answer; dropped, it learns that there is none.
type Tell<T> = oneshot::Sender<Result<T, BackendError>>;

struct State {
    /// Ends with the connection.
    alive: CancellationToken,
    generation: u64,
    /// The process is gone.
    dead: bool,
    /// How often each kind of thing was asked.
    asked: HashMap<u64, u64>,
}

impl Wire {
    /// Connected at once. Whoever has no answer gives up after `timeout` nanoseconds.
    pub(super) fn new(
        sea: &Arc<Sea>,
        gate: &Arc<Gate>,
        faults: &Arc<Faults>,
        process: u32,
        timeout: u64,
    ) -> Arc<Self> {
        let state =
            State { alive: CancellationToken::new(), generation: 1, dead: false, asked: HashMap::new() };
        Arc::new(Self {
            sea: Arc::clone(sea),
            gate: Arc::clone(gate),
            faults: Arc::clone(faults),
            memory: Arc::new(Memory::join(&sea.store)),
            process,
            timeout,
            link: watch::Sender::new(up(1)),
            state: Mutex::new(state),
        })
    }

    pub(super) fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    /// The process is gone: nothing of it gets out any more.
    pub(super) fn kill(&self) {
        let mut state = self.state();
        state.dead = true;
        state.alive.cancel();
    }

    /// Ends the connection. Another is made as soon as that is possible.
    pub(super) fn end(self: &Arc<Self>, why: &str) {
        let state = self.state();
        if state.dead || state.alive.is_cancelled() {
            return;
        }
        state.alive.cancel();
        let generation = state.generation;
        drop(state);
        self.link.send_replace(LinkState::Down(why.to_owned()));
        self.reconnect(generation, 0);
    }

    fn reconnect(self: &Arc<Self>, generation: u64, attempt: u64) {
        let mut draw = Rng::of(self.sea.seed, ("connect", self.process, generation, attempt));
        let after = draw.between(MS, (50 * MS) << attempt.min(4));
        let wire = Arc::clone(self);
        self.sea.world.at_gate(&self.gate, &mut draw, after, move || {
            let blocked = [&wire.faults.cut, &wire.faults.mute, &wire.faults.unanswered];
            if blocked.iter().any(|it| it.load(SeqCst)) {
                return wire.reconnect(generation, attempt + 1);
            }
            let mut state = wire.state();
            if !state.dead {
                state.alive = CancellationToken::new();
                state.generation += 1;
                wire.link.send_replace(up(state.generation));
            }
        });
    }

    /// Subscribes, once asked.
    pub(super) fn listen(&self, alive: CancellationToken) -> Heard {
        self.sea.subscribe(&self.gate, alive, &self.faults.deaf)
    }

    /// The stream of what is drawn for the next question of this kind about this.
    pub(super) fn draw(&self, kind: &'static str, about: impl Hash) -> Rng {
        let name = Rng::of(self.sea.seed, (self.process, kind, about)).next();
        let mut state = self.state();
        let asked = state.asked.entry(name).or_default();
        *asked += 1;
        Rng::of(name, *asked)
    }

    /// What ends with the present connection.
    pub(super) fn alive(&self) -> Result<CancellationToken, BackendError> {
        let alive = self.state().alive.clone();
        if alive.is_cancelled() { Err(unavailable()) } else { Ok(alive) }
    }

    /// Asks the store. `prompt`: it takes effect soon or never.
    pub(super) async fn ask<T, F, R>(
        self: &Arc<Self>,
        mut draw: Rng,
        prompt: bool,
        run: F,
    ) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Memory>) -> R + Send + 'static,
        R: Future<Output = Result<T, BackendError>>,
    {
        let alive = self.alive()?;
        let (tell, told) = oneshot::channel();
        self.send(&mut draw, prompt, run, tell);
        tokio::select! {
            biased;
            () = alive.cancelled() => Err(unavailable()),
            answer = told => answer.unwrap_or(Err(BackendError::TimedOut)),
        }
    }

    fn send<T, F, R>(self: &Arc<Self>, draw: &mut Rng, prompt: bool, run: F, tell: Tell<T>)
    where
        T: Send + 'static,
        F: FnOnce(Arc<Memory>) -> R + Send + 'static,
        R: Future<Output = Result<T, BackendError>>,
    {
        let fate = self.fate(draw, prompt);
        let mut back = draw.fork();
        let there = match fate {
            Fate::Lost => return self.give_up(&mut back, self.timeout, tell),
            Fate::Refused { back: after } => {
                let refusal = || BackendError::Refused("the server has no room".to_owned());
                return self.sea.world.at_gate(&self.gate, &mut back, after.min(self.timeout), move || {
                    tell.send(Err(refusal())).ok();
                });
            }
            Fate::Answered { there, .. } | Fate::Unanswered { there } | Fate::Reset { there, .. } => there,
        };
        let mut tell = Some(tell);
        let left = self.timeout.saturating_sub(there);
        if left == 0 {
            tell.take().into_iter().for_each(|tell| self.give_up(&mut back, self.timeout, tell));
        }
        let wire = Arc::clone(self);
        let arrive = move || {
            if wire.faults.mute.load(SeqCst) {
                return tell.into_iter().for_each(|tell| wire.give_up(&mut back, left, tell));
            }
            let answer = run(Arc::clone(&wire.memory)).now_or_never();
            let answer = answer.expect("an embedded store answers at once");
            wire.sea.spread();
            let Some(tell) = tell else { return };
            match fate {
                Fate::Answered { back: after, .. } if after < left => {
                    wire.answer(&mut back, after, tell, answer);
                }
                Fate::Reset { back: after, .. } if after < left => wire.reset(&mut back, after, tell),
                _ => wire.give_up(&mut back, left, tell),
            }
        };
        // What a stopped process has not sent yet leaves once it goes on.
        let (world, mut draw) = (Arc::clone(&self.sea.world), draw.fork());
        self.gate.pass(Box::new(move || world.later(&mut draw, there, arrive)));
    }

    fn fate(&self, draw: &mut Rng, prompt: bool) -> Fate {
        let slower = self.faults.slower.load(SeqCst) * MS;
        match self.sea.weather().fate(draw, prompt) {
            Fate::Answered { there, back } if slower != 0 => {
                let more = if prompt { 0 } else { draw.below(slower) };
                Fate::Answered { there: there + more, back: back + draw.below(slower) }
            }
            fate => fate,
        }
    }

    fn answer<T: Send + 'static>(
        self: &Arc<Self>,
        draw: &mut Rng,
        after: u64,
        tell: Tell<T>,
        answer: Result<T, BackendError>,
    ) {
        let wire = Arc::clone(self);
        let mut again = draw.fork();
        self.sea.world.at_gate(&self.gate, draw, after, move || {
            if wire.faults.unanswered.load(SeqCst) {
                wire.give_up(&mut again, wire.timeout, tell);
            } else {
                // Whoever asked may be gone.
                tell.send(answer).ok();
            }
        });
    }

    fn reset<T: Send + 'static>(self: &Arc<Self>, draw: &mut Rng, after: u64, tell: Tell<T>) {
        let wire = Arc::clone(self);
        self.sea.world.at_gate(&self.gate, draw, after, move || {
            wire.end("reset");
            drop(tell);
        });
    }

    /// The asker's time is over.
    fn give_up<T: Send + 'static>(&self, draw: &mut Rng, after: u64, tell: Tell<T>) {
        self.sea.world.at_gate(&self.gate, draw, after, move || drop(tell));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn up(generation: u64) -> LinkState {
    LinkState::Up { generation, server: "simulated".to_owned(), warnings: Vec::new() }
}

fn unavailable() -> BackendError {
    BackendError::Unavailable("the connection has ended".to_owned())
}
