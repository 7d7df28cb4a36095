//! The order of everything: what happens when, by a clock that only moves once all is quiet.
//!
//! Whatever takes time in a simulation is an act with a due time. Acts of the same moment have an order drawn for them,
//! and what one sets off goes its first steps before the next act. So a seed has one course.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::rng::Rng;

/// A millisecond of the simulation, in its nanoseconds.
pub(super) const MS: u64 = 1_000_000;

/// What happens.
pub(super) type Act = Box<dyn FnOnce() + Send>;

/// The acts to come.
pub(super) struct World {
    began: Instant,
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Default)]
struct Queue {
    acts: BinaryHeap<Due>,
    /// What [`World::run`] sleeps until.
    armed: u64,
}

struct Due {
    at: u64,
    tie: u64,
    act: Act,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.tie).cmp(&(self.at, self.tie))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl World {
    pub(super) fn begin() -> Arc<Self> {
        let queue = Mutex::new(Queue { armed: u64::MAX, ..Queue::default() });
        Arc::new(Self { began: Instant::now(), queue, news: Notify::new() })
    }

    /// Nanoseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Has something happen `after` so many nanoseconds.
    pub(super) fn later(&self, draw: &mut Rng, after: u64, act: impl FnOnce() + Send + 'static) {
        let due = Due { at: self.now() + after, tie: draw.next(), act: Box::new(act) };
        let mut queue = self.queue();
        let sooner = due.at < queue.armed;
        queue.acts.push(due);
        drop(queue);
        if sooner {
            self.news.notify_one();
        }
    }

    /// The same, once the instance behind `gate` runs.
    pub(super) fn at_gate(
        &self,
        gate: &Arc<Gate>,
        draw: &mut Rng,
        after: u64,
        act: impl FnOnce() + Send + 'static,
    ) {
        let gate = Arc::clone(gate);
        self.later(draw, after, move || gate.pass(Box::new(act)));
    }

    /// Lets time pass.
    pub(super) async fn pause(&self, draw: &mut Rng, nanos: u64) {
        let (over, passed) = oneshot::channel::<()>();
        self.later(draw, nanos, move || drop(over));
        drop(passed.await);
    }

    /// Lets time pass for an instance.
    pub(super) async fn pause_at(&self, gate: &Arc<Gate>, draw: &mut Rng, nanos: u64) {
        let (over, passed) = oneshot::channel::<()>();
        self.at_gate(gate, draw, nanos, move || drop(over));
        drop(passed.await);
    }

    /// Has everything happen at its time, for ever.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let next = {
                let mut queue = self.queue();
                queue.armed = queue.acts.peek().map_or(u64::MAX, |due| due.at);
                queue.armed
            };
            if self.now() < next {
                let due = self.began + Duration::from_nanos(next.min(u64::MAX / 4));
                tokio::select! {
                    biased;
                    () = self.news.notified() => {}
                    () = sleep_until(due) => {}
                }
                continue;
            }
            let due = self.queue().acts.pop();
            if let Some(due) = due {
                (due.act)();
                // What it set off goes first.
                last_in_line().await;
            }
        }
    }

    /// Drops all that was still to happen: acts hold the world they are of.
    pub(super) fn end(&self) {
        let acts = std::mem::take(&mut self.queue().acts);
        drop(acts);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets all tasks that can go on do so. tokio's own way would look at the clock each time, too.
async fn last_in_line() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What stands between an instance and everything that would make it go on: closed, the instance is stopped.
#[derive(Default)]
pub(super) struct Gate(Mutex<Held>);

#[derive(Default)]
struct Held {
    closed: bool,
    acts: Vec<Act>,
}

impl Gate {
    /// Does it, once the instance runs.
    pub(super) fn pass(&self, act: Act) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.closed {
            held.acts.push(act);
        } else {
            drop(held);
            act();
        }
    }

    /// Forgets what has come for an instance that will never go on.
    pub(super) fn clear(&self) {
        let acts = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).acts);
        drop(acts);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Stops the instance.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }

    /// Lets it go on, with all that has come for it meanwhile.
    pub(super) fn open(&self) {
        let acts = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.closed = false;
            std::mem::take(&mut held.acts)
        };
        for act in acts {
            act();
        }
    }
}

/// How far a call has come in an instance that takes its time before each step, in an order of its own.
struct Pace {
    world: Arc<World>,
    gate: Arc<Gate>,
    draw: Mutex<Rng>,
    coming: AtomicBool,
    ready: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Pace {
    fn wake(self: Arc<Self>) {
        if self.coming.swap(true, SeqCst) {
            return;
        }
        let mut draw = self.draw.lock().unwrap_or_else(PoisonError::into_inner);
        let after = if draw.per_mille(50) { draw.below(20 * MS) } else { draw.below(2 * MS) };
        let pace = Arc::clone(&self);
        self.world.at_gate(&self.gate, &mut draw, after, move || {
            pace.coming.store(false, SeqCst);
            pace.ready.store(true, SeqCst);
            pace.task.wake();
        });
    }
}

/// A call within an instance, step by step as the instance gets to it; `None` after so many nanoseconds.
pub(super) async fn paced<T>(
    world: &Arc<World>,
    gate: &Arc<Gate>,
    mut draw: Rng,
    limit: u64,
    mut call: impl Future<Output = T> + Unpin,
) -> Option<T> {
    let late = Arc::new(AtomicBool::new(false));
    let pace = Arc::new(Pace {
        world: Arc::clone(world),
        gate: Arc::clone(gate),
        draw: Mutex::new(draw.fork()),
        coming: AtomicBool::new(false),
        ready: AtomicBool::new(!gate.is_closed()),
        task: AtomicWaker::new(),
    });
    let waker = Waker::from(Arc::clone(&pace));
    if gate.is_closed() {
        waker.wake_by_ref();
    }
    let mut armed = false;
    std::future::poll_fn(|context: &mut Context<'_>| {
        pace.task.register(context.waker());
        if late.load(SeqCst) {
            return Poll::Ready(None);
        }
        if pace.ready.swap(false, SeqCst)
            && let Poll::Ready(answer) = Pin::new(&mut call).poll(&mut Context::from_waker(&waker))
        {
            return Poll::Ready(Some(answer));
        }
        if !std::mem::replace(&mut armed, true) {
            let (of, over) = (Arc::clone(&pace), Arc::clone(&late));
            world.later(&mut draw, limit, move || {
                over.store(true, SeqCst);
                of.task.wake();
            });
        }
        Poll::Pending
    })
    .await
}
