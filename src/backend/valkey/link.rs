//! Generations: connections that are made and checked together and end together. Whoever asks without one is told so
//! at once; [`Link::keep`] makes the next.

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use fred::types::Value;
use futures_util::future::{select_all, try_join_all};
use rand::Rng as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::batches::Batches;
use super::connection::{Command, Connection, Opener, Task};
use super::errors::explain;
use super::handshake::Fault;
use super::pages::Reader;
use super::rounds::Rounds;
use super::sentinel::Primary;
use crate::backend::{BackendError, LinkState};

/// Between two attempts to connect: the first, and what doubling it ends at.
const DELAY_MIN: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(1);
/// Between two attempts at a server that must not be used: somebody has to mend it first.
const DELAY_REFUSED: Duration = Duration::from_secs(5);
/// A generation that lasted so long was healthy: the next attempt starts from the shortest delay.
const HEALTHY: Duration = Duration::from_secs(5);
/// How often every connection must answer.
const PING_EVERY: Duration = Duration::from_secs(1);
/// No server is left for an answer that took less.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
/// What waits for replicas keeps the answers behind it: so many time-outs of a command are silence there.
const WAITING_FACTOR: u32 = 4;

/// Why there is no connection before the first attempt.
const NOT_YET: &str = "not connected yet";

/// What a generation is made of.
pub(super) struct Parts {
    /// Such as `valkey 9.1.2`.
    pub(super) server: String,
    /// What an operator should mend.
    pub(super) warnings: Vec<String>,
    /// For everything that is answered at once.
    pub(super) data: Vec<Connection>,
    /// For what may wait in the server for its replicas.
    pub(super) waiting: Vec<Connection>,
    /// Over those.
    pub(super) rounds: Rounds,
    /// Over those for data.
    pub(super) batches: Batches,
    /// The connections' tasks: they end with the generation.
    pub(super) tasks: Vec<Task>,
    /// How to make further connections to the same server.
    pub(super) opener: Opener,
    /// The primary that sentinels named, where they did.
    pub(super) primary: Option<Primary>,
}

/// Connections until the first of them dies or nobody trusts them any more.
pub(super) struct Generation {
    /// Such as `valkey 9.1.2`.
    pub(super) server: String,
    data: Vec<Connection>,
    waiting: Vec<Connection>,
    rounds: Rounds,
    batches: Batches,
    /// How to make further connections to the same server.
    pub(super) opener: Opener,
    /// The primary that sentinels named, where they did.
    pub(super) primary: Option<Primary>,
    next: AtomicUsize,
    ended: CancellationToken,
    why: OnceLock<String>,
    /// A connection to wait on, while nobody does.
    parked: Parked<(Connection, Task)>,
    /// One to read a log over, while nobody does.
    pub(super) reader: Parked<Reader>,
}

/// What one may take for a while, and the next when it was put back.
pub(super) struct Parked<T>(Mutex<Option<T>>);

impl<T> Parked<T> {
    fn none() -> Self {
        Self(Mutex::new(None))
    }

    /// Takes it, if it is there.
    pub(super) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps it for the next.
    pub(super) fn put(&self, it: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(it);
    }
}

impl Generation {
    /// The next connection in turn.
    pub(super) fn data(&self) -> &Connection {
        &self.data[self.next.fetch_add(1, Ordering::Relaxed) % self.data.len()]
    }

    /// Where it is waited for replicas and for the disk.
    pub(super) fn rounds(&self) -> &Rounds {
        &self.rounds
    }

    /// What may go together goes through here.
    pub(super) fn batches(&self) -> &Batches {
        &self.batches
    }

    /// Ends it, for whoever waits for an answer too.
    pub(super) fn end(&self, why: &str) {
        // the first reason is the one that counts
        self.why.get_or_init(|| why.to_owned());
        self.ended.cancel();
    }

    /// Resolves when it has ended.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// What `operation` says, unless the generation ends first: nothing of an ended one is believed.
    pub(super) async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        match self.ended.run_until_cancelled(operation).await {
            Some(result) if !self.ended.is_cancelled() => result,
            _ => Err(BackendError::Unavailable(self.why().to_owned())),
        }
    }

    fn why(&self) -> &str {
        self.why.get().map_or("the connection was given up", String::as_str)
    }

    /// Takes the parked connection, if it is there.
    pub(super) fn unpark(&self) -> Option<(Connection, Task)> {
        self.parked.take()
    }

    /// Keeps a connection for the next who waits.
    pub(super) fn park(&self, connection: Connection, task: Task) {
        self.parked.put((connection, task));
    }

    /// Resolves with the reason when a connection no longer answers.
    async fn fails(&self, command_timeout: Duration) -> String {
        let patience = self.primary.as_ref().map_or(Duration::MAX, Primary::patience).max(PATIENCE_MIN);
        let (every, limit) = (PING_EVERY.min(patience), command_timeout.min(patience));
        tokio::select! {
            why = self.silent(&self.data, every, limit) => why,
            why = self.silent(&self.waiting, every, command_timeout.saturating_mul(WAITING_FACTOR)) => why,
        }
    }

    /// The same for some of them, asked so often and each with so much time for an answer.
    async fn silent(&self, connections: &[Connection], every: Duration, limit: Duration) -> String {
        loop {
            sleep(every).await;
            let ping = |connection: &Connection| {
                let connection = connection.clone();
                async move {
                    let heard = connection.answers();
                    match connection.call_within(Command::new("PING", 0), limit).await {
                        // The PING stood in a row behind what waits for replicas.
                        Err(_) if connection.answers() != heard => Ok(Value::Null),
                        answer => answer,
                    }
                }
            };
            if let Err(error) = try_join_all(connections.iter().map(ping)).await {
                return match explain(&error) {
                    BackendError::TimedOut => format!("no answer to PING within {limit:?}"),
                    other => other.to_string(),
                };
            }
        }
    }
}

/// The way to one server, or none at the moment.
pub(super) struct Link {
    name: &'static str,
    current: ArcSwapOption<Generation>,
    state: watch::Sender<LinkState>,
    made: AtomicU64,
    command_timeout: Duration,
}

impl Link {
    pub(super) fn new(name: &'static str, command_timeout: Duration) -> Self {
        Self {
            name,
            current: ArcSwapOption::empty(),
            state: watch::Sender::new(LinkState::Down(NOT_YET.to_owned())),
            made: AtomicU64::new(0),
            command_timeout,
        }
    }

    /// Changes are seen by every holder.
    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// An attempt to connect has had an outcome.
    pub(super) fn was_tried(&self) -> bool {
        !matches!(&*self.state.borrow(), LinkState::Down(why) if why == NOT_YET)
    }

    /// The connections, if there are any.
    pub(super) fn generation(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// The connections, or why there are none.
    pub(super) fn connected(&self) -> Result<Arc<Generation>, BackendError> {
        self.generation().ok_or_else(|| {
            BackendError::Unavailable(match &*self.state.borrow() {
                LinkState::Down(why) | LinkState::Refused(why) => why.clone(),
                LinkState::Up { .. } => "the connection is being made".to_owned(),
            })
        })
    }

    /// Ends the current generation.
    pub(super) fn distrust(&self, why: &str) {
        if let Some(generation) = self.current.swap(None) {
            generation.end(why);
            self.state.send_replace(LinkState::Down(why.to_owned()));
        }
    }

    /// Makes generations until `stop`, each by `make`; `attend` runs beside each.
    pub(super) async fn keep<M, A>(
        &self,
        stop: &CancellationToken,
        make: impl Fn() -> M,
        attend: impl Fn(Arc<Generation>) -> A,
    ) where
        M: Future<Output = Result<Parts, Fault>>,
        A: Future<Output = ()>,
    {
        let mut delays = Delays::default();
        loop {
            let Some(parts) = stop.run_until_cancelled(make()).await else { break };
            let delay = match parts {
                Ok(parts) => {
                    let lasted = self.live(stop, parts, &attend).await;
                    if stop.is_cancelled() {
                        break;
                    }
                    delays.after(lasted)
                }
                Err(Fault::Refused(why) | Fault::Replica(why)) => {
                    warn!(backend.link = self.name, "the backend must not be used: {why}");
                    self.say(LinkState::Refused(why));
                    DELAY_REFUSED
                }
                Err(Fault::Down(error)) => {
                    self.say(LinkState::Down(error.to_string()));
                    delays.next()
                }
            };
            if stop.run_until_cancelled(sleep(jittered(delay))).await.is_none() {
                break;
            }
        }
        self.distrust("stopped");
        self.say(LinkState::Down("stopped".to_owned()));
    }

    /// One generation from its start to its end: how long it lasted.
    async fn live<A: Future<Output = ()>>(
        &self,
        stop: &CancellationToken,
        parts: Parts,
        attend: &impl Fn(Arc<Generation>) -> A,
    ) -> Duration {
        let Parts { server, warnings, data, waiting, rounds, batches, tasks, opener, primary } = parts;
        let started = Instant::now();
        let generation = Arc::new(Generation {
            server: server.clone(),
            data,
            waiting,
            rounds,
            batches,
            opener,
            primary,
            next: AtomicUsize::new(0),
            ended: CancellationToken::new(),
            why: OnceLock::new(),
            parked: Parked::none(),
            reader: Parked::none(),
        });
        // whatever ends this future, also being dropped, ends the generation
        let _ends = Ends { link: self, generation: &generation };
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        info!(backend.link = self.name, backend.generation = number, "connected to {server}");
        self.current.store(Some(Arc::clone(&generation)));
        self.state.send_replace(LinkState::Up { generation: number, server, warnings });

        tokio::select! {
            () = stop.cancelled() => generation.end("stopped"),
            () = generation.ended.cancelled() => {}
            (_, _, _) = select_all(tasks) => generation.end("the connection was lost"),
            why = generation.fails(self.command_timeout) => generation.end(&why),
            () = attend(Arc::clone(&generation)) => generation.end("its attendant ended"),
        }
        warn!(backend.link = self.name, backend.generation = number, "disconnected: {}", generation.why());
        started.elapsed()
    }

    /// Tells a new state, and only a new one.
    fn say(&self, state: LinkState) {
        self.state.send_if_modified(|current| {
            let modified = *current != state;
            *current = state;
            modified
        });
    }
}

/// Ends a generation with the future that kept it.
struct Ends<'a> {
    link: &'a Link,
    generation: &'a Arc<Generation>,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.generation.end("the connection was given up");
        drop((self.generation.unpark(), self.generation.reader.take()));
        self.link.current.store(None);
        self.link.say(LinkState::Down(self.generation.why().to_owned()));
    }
}

/// How long to wait before the next attempt.
#[derive(Default)]
struct Delays {
    last: Duration,
}

impl Delays {
    /// After a failure to connect.
    fn next(&mut self) -> Duration {
        self.last = self.last.saturating_mul(2).clamp(DELAY_MIN, DELAY_MAX);
        self.last
    }

    /// After a generation's end: at once, if it was healthy.
    fn after(&mut self, lasted: Duration) -> Duration {
        if self.last.is_zero() || HEALTHY <= lasted {
            self.last = DELAY_MIN / 2;
            return Duration::ZERO;
        }
        self.next()
    }
}

/// Instances that lost the same server do not all come back in the same moment.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(rand::rng().random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_start_afresh_after_a_healthy_spell() {
        let mut delays = Delays::default();
        assert_eq!(delays.after(Duration::ZERO), Duration::ZERO, "the first retry is immediate");
        assert_eq!(delays.next(), DELAY_MIN);
        assert_eq!(delays.next(), DELAY_MIN * 2);
        for _ in 0..10 {
            assert!(delays.next() <= DELAY_MAX);
        }
        assert_eq!(delays.after(Duration::from_millis(1)), DELAY_MAX, "a short life is no recovery");
        assert_eq!(delays.after(HEALTHY), Duration::ZERO);
    }
}
