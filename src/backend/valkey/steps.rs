//! Publications together: what comes while a step of its shard is on its way goes with the next one.
//!
//! A step costs the server about as much for one publication as for three: it looks at who it is, at the control record and
//! at the clock once for all of them. Whoever comes alone goes alone, and at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::link::Generation;
use super::{Context, publish};
use crate::backend::{Along, BackendError, Publication, Published};
use crate::model::{Shard, ShardCount};

/// Steps of a shard on their way at once. With another between, each would hold half as many.
const STEPS_MAX: usize = 1;
/// Publications of one step, and about what they weigh in bytes: for as long as a step takes, the server does nothing else.
const PUBLICATIONS_MAX: usize = 64;
const WEIGHT_MAX: usize = 1 << 20;
/// What the server has to do for a target or an entry, in bytes.
const TARGET_WEIGHT: usize = 512;
/// Publications that may wait, of each shard, and about what they may weigh.
const WAITING_MAX: usize = 10_000;
const WAITING_WEIGHT_MAX: usize = 256 << 20;

type Answer = Result<Published, BackendError>;

/// The publications of a generation.
pub(super) struct Steps(Vec<Queue>);

struct Queue {
    steps: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    weight: usize,
}

struct Item {
    publication: Publication,
    weight: usize,
    answer: oneshot::Sender<Answer>,
}

impl Steps {
    pub(super) fn new(shards: ShardCount) -> Self {
        let queue = |_| Queue {
            steps: Arc::new(Semaphore::new(STEPS_MAX)),
            waiting: Mutex::default(),
            news: Notify::new(),
        };
        Self(shards.all().map(queue).collect())
    }

    /// Has it published, alone or with others by [`Self::serve`].
    pub(super) async fn publish(
        &self,
        context: &Context,
        generation: &Generation,
        shard: Shard,
        publication: Publication,
    ) -> Answer {
        let Some(queue) = self.0.get(usize::from(shard.0)) else {
            return Err(BackendError::Refused(format!("there is no shard {}", shard.0)));
        };
        if let Some(_step) = queue.at_once() {
            let answers =
                publish::step(context, generation.data(), shard, [&publication].into_iter()).await?;
            return answers.into_iter().next().unwrap_or_else(|| Err(unanswered()));
        }
        let (answer, answered) = oneshot::channel();
        queue.push(Item { weight: weight(&publication), publication, answer })?;
        // Who waits for longer is passed over by whoever would send it: nobody hears of its answer.
        match timeout(context.command_timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_gone)) => Err(unanswered()),
            Err(_elapsed) => Err(BackendError::TimedOut),
        }
    }

    /// Carries out what waits, as long as the generation lasts: a publisher that goes away takes no other's event along.
    pub(super) async fn serve(&self, context: &Context, generation: &Generation) {
        let shards = context.keys.count().all().zip(&self.0);
        join_all(shards.map(|(shard, queue)| queue.serve(context, generation, shard))).await;
    }
}

impl Queue {
    /// A step for one that comes alone: nobody waits, and no other is on its way.
    fn at_once(&self) -> Option<OwnedSemaphorePermit> {
        if !self.waiting().items.is_empty() {
            return None;
        }
        Arc::clone(&self.steps).try_acquire_owned().ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item) -> Result<(), BackendError> {
        let mut waiting = self.waiting();
        if WAITING_MAX <= waiting.items.len() || WAITING_WEIGHT_MAX < waiting.weight + item.weight {
            return Err(BackendError::Unavailable("too many commands are waiting".to_owned()));
        }
        waiting.weight += item.weight;
        waiting.items.push_back(item);
        self.news.notify_one();
        Ok(())
    }

    async fn serve(&self, context: &Context, generation: &Generation, shard: Shard) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = under_way.next() => {}
                (step, items) = self.step() => {
                    under_way.push(carry_out(context, generation, shard, step, items));
                }
            }
        }
    }

    /// The next step, with what goes in it: one at least.
    async fn step(&self) -> (OwnedSemaphorePermit, Vec<Item>) {
        loop {
            let empty = self.waiting().items.is_empty();
            if empty {
                self.news.notified().await;
                continue;
            }
            // It is never closed.
            let Ok(step) = Arc::clone(&self.steps).acquire_owned().await else { continue };
            let items = self.take();
            if !items.is_empty() {
                return (step, items);
            }
        }
    }

    fn take(&self) -> Vec<Item> {
        let mut waiting = self.waiting();
        let (mut items, mut weight) = (Vec::new(), 0);
        while items.len() < PUBLICATIONS_MAX {
            let next = waiting.items.front().map(|item| item.weight);
            if next.is_none_or(|next| !items.is_empty() && WEIGHT_MAX < weight + next) {
                break;
            }
            let Some(item) = waiting.items.pop_front() else { break };
            waiting.weight -= item.weight;
            // Who no longer waits was told that it failed, and may have published anew.
            if !item.answer.is_closed() {
                weight += item.weight;
                items.push(item);
            }
        }
        items
    }
}

async fn carry_out(
    context: &Context,
    generation: &Generation,
    shard: Shard,
    _step: OwnedSemaphorePermit,
    items: Vec<Item>,
) {
    let publications = items.iter().map(|item| &item.publication);
    match publish::step(context, generation.data(), shard, publications).await {
        Ok(answers) => {
            let answers = answers.into_iter().chain(std::iter::repeat_with(|| Err(unanswered())));
            for (item, answer) in items.into_iter().zip(answers) {
                // Whoever asked may be gone.
                drop(item.answer.send(answer));
            }
        }
        Err(error) => {
            for item in items {
                drop(item.answer.send(Err(error.clone())));
            }
        }
    }
}

fn unanswered() -> BackendError {
    BackendError::Unavailable("the step ended before this publication".to_owned())
}

fn weight(Publication { event, entries, along, .. }: &Publication) -> usize {
    let value = match along {
        Some(Along::Value { put, .. } | Along::Pending { put, .. } | Along::Ended { put: Some(put), .. }) => {
            put.envelope.len()
        }
        Some(Along::Quarantine { .. } | Along::Ended { put: None, .. }) | None => 0,
    };
    value + TARGET_WEIGHT * (event.targets.len() + entries.len())
}
