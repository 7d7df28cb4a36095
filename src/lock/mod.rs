//! Locks across the cluster: taking, waiting, extending, giving up.
//!
//! A holder is told how long it holds the lock as counted from before it was asked for, never from the answer: what is
//! left by the backend's clock is always more. Between two holders of a lock that the first believes to have still, its
//! fence decides, which only grows.

mod queue;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::backend::{Backend, BackendError, LinkState, LockAsk, Locked};
pub use crate::backend::{Fence, LockToken};
use crate::clock::Clock;
use crate::coherence::Coherence;
use crate::model::Key;
use crate::supervisor::{Stage, Supervisor};
use queue::Queues;

/// Requests that may wait for locks at once.
const WAITING_MAX: usize = 10_000;
/// Between two looks at a lock whose end is not announced: its holder died, or the announcement was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Spreads those who wait for the same lock to expire.
const SPREAD: Duration = Duration::from_millis(20);
/// Locks that wait to be given back at once; those beyond expire by themselves.
const GIVEN_BACK_MAX: usize = 1024;
/// Between two attempts to give one back.
const GIVE_BACK_AGAIN: Duration = Duration::from_millis(100);

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What extends it and gives it up.
    pub token: LockToken,
    /// Greater than that of every holder before.
    pub fence: Fence,
    /// How long it is held at least.
    pub expires_in: Duration,
}

/// Why a lock is not held.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LockError {
    /// Another holds it.
    #[error("another holds the lock")]
    Locked {
        /// For so long, unless that one extends it or gives it up.
        left: Duration,
    },
    /// The token does not hold it, or does not any more.
    #[error(
        "the token does not hold the lock: it expired, was given up, or was lost with the store that knew of it"
    )]
    Lost,
    /// Too many wait.
    #[error("{WAITING_MAX} requests wait for locks already")]
    TooMany,
    /// The instance stops.
    #[error("the instance is stopping")]
    Stopping,
    /// It took longer to take the lock than it would have been held.
    #[error("the lock expired before it could be handed out")]
    TooLate,
    /// The backend did not say.
    #[error("{0}")]
    Backend(#[from] BackendError),
}

/// Every lock, as this instance takes part in it.
pub struct Locks {
    backend: Arc<dyn Backend>,
    coherence: Arc<Coherence>,
    supervisor: Supervisor,
    clock: Clock,
    /// Of those who wait here for the same lock, one asks for it.
    queues: Queues,
    waiting: Semaphore,
    given_back: Arc<Semaphore>,
    /// Nobody waits for anything any more.
    stop: CancellationToken,
}

impl Locks {
    /// Builds the room; it has no task of its own.
    pub fn new(backend: Arc<dyn Backend>, coherence: Arc<Coherence>, supervisor: Supervisor) -> Self {
        Self {
            clock: coherence.clock().clone(),
            queues: Queues::default(),
            waiting: Semaphore::new(WAITING_MAX),
            given_back: Arc::new(Semaphore::new(GIVEN_BACK_MAX)),
            stop: supervisor.stopping(Stage::Door),
            backend,
            coherence,
            supervisor,
        }
    }

    /// Takes a lock for `ttl`; while another holds it, waits up to `wait`. A wait that is dropped leaves no lock behind.
    pub async fn take(&self, name: &Key, ttl: Duration, wait: Duration) -> Result<Held, LockError> {
        let mut attempt = Attempt { locks: self, name, token: LockToken::random(), ttl, unsure: false };
        if wait.is_zero() {
            return attempt.ask(false).await;
        }
        let deadline = Instant::now() + wait;
        let _place = self.place()?;
        let waited = timeout_at(deadline, self.stop.run_until_cancelled(self.queues.enter(name))).await;
        let _turn = match waited {
            Ok(Some(turn)) => turn,
            Ok(None) => return Err(LockError::Stopping),
            // Its turn did not come: it learns how long the lock is held, or has luck.
            Err(_elapsed) => return attempt.ask(false).await,
        };
        loop {
            // Before it asks, so that no end is missed.
            let mut unlocked = self.coherence.unlocked(name);
            let left = match attempt.ask(true).await {
                Err(LockError::Locked { left }) if Instant::now() < deadline => left,
                taken => return taken,
            };
            let again = (left + SPREAD.mul_f64(rand::random())).min(LOOK_AGAIN);
            let pause = deadline.min(Instant::now() + again);
            if self.stop.run_until_cancelled(timeout_at(pause, unlocked.ended())).await.is_none() {
                return Err(LockError::Stopping);
            }
        }
    }

    /// Holds a lock for `ttl` from now.
    pub async fn extend(&self, name: &Key, token: LockToken, ttl: Duration) -> Result<Held, LockError> {
        let sent = self.clock.now();
        let fence = self.backend.extend(name, &token, ttl).await?.ok_or(LockError::Lost)?;
        match ttl.saturating_sub(self.clock.now().since(sent)) {
            Duration::ZERO => Err(LockError::Lost),
            expires_in => Ok(Held { token, fence, expires_in }),
        }
    }

    /// Gives a lock up.
    pub async fn give_up(&self, name: &Key, token: &LockToken) -> Result<(), LockError> {
        if self.backend.unlock(name, token).await? { Ok(()) } else { Err(LockError::Lost) }
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, LockError> {
        self.waiting.try_acquire().map_err(|_| LockError::TooMany)
    }
}

/// One wish for a lock. The same token asks again and again: an answer that was lost is found again.
struct Attempt<'a> {
    locks: &'a Locks,
    name: &'a Key,
    token: LockToken,
    ttl: Duration,
    /// The lock may be this one's, and nobody knows.
    unsure: bool,
}

impl Attempt<'_> {
    async fn ask(&mut self, wanted: bool) -> Result<Held, LockError> {
        let Self { locks, name, ttl, .. } = *self;
        let sent = locks.clock.now();
        self.unsure = true;
        let locked = locks.backend.lock(LockAsk { name, token: &self.token, ttl, wanted }).await?;
        self.unsure = false;
        let fence = match locked {
            Locked::Held(fence) => fence,
            Locked::Busy { left } => return Err(LockError::Locked { left }),
        };
        match ttl.saturating_sub(locks.clock.now().since(sent)) {
            Duration::ZERO => Err(LockError::TooLate),
            expires_in => Ok(Held { token: self.token.clone(), fence, expires_in }),
        }
    }
}

/// Whoever asked is gone, or was told that it failed: others shall not wait for a lock that nobody uses.
impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.unsure {
            return;
        }
        let Ok(permit) = Arc::clone(&self.locks.given_back).try_acquire_owned() else { return };
        let (backend, supervisor) = (Arc::clone(&self.locks.backend), &self.locks.supervisor);
        let (name, token, ttl) = (self.name.clone(), self.token.clone(), self.ttl);
        let stop = supervisor.stopping(Stage::Load);
        let give_back = async move {
            let _permit = permit;
            let mut link = backend.link();
            let given_back = timeout(ttl, async {
                // The connection that did not answer may take a while to be given up.
                while link.wait_for(|state| matches!(state, LinkState::Up { .. })).await.is_ok()
                    && backend.unlock(&name, &token).await.is_err()
                {
                    sleep(GIVE_BACK_AGAIN).await;
                }
            });
            if !matches!(stop.run_until_cancelled(given_back).await, Some(Ok(()))) {
                debug!("a lock that nobody uses was not given up, it expires by itself");
            }
        };
        drop(supervisor.spawn(Stage::Load, "lock.give_back", give_back));
    }
}
