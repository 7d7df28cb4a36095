//! What comes while others of its kind are on their way goes with the next ones: in one step of a script, or in one write
//! to a connection.
//!
//! Of one that is sent by itself, the server and this process spend most on the sending. Whoever comes alone goes alone,
//! and at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::Context;
use super::link::Generation;
use crate::backend::BackendError;
use crate::model::{Shard, ShardCount};

/// Asks that may wait, of each shard and kind, and about what they may weigh.
const WAITING_MAX: usize = 10_000;
const WAITING_WEIGHT_MAX: usize = 256 << 20;

/// A kind of asks that go together.
pub(super) trait Kind {
    /// What is asked.
    type Ask: Send + Sync;
    /// What each is answered.
    type Answer: Send;

    /// Goes of a shard on their way at once: the fewer there may be, the more each holds, and the longer the next one waits.
    const GOES_MAX: usize;
    /// Asks of one go, and about what they weigh in bytes: for as long as it takes, the server does nothing else.
    const ASKS_MAX: usize;
    const WEIGHT_MAX: usize;

    /// So often everything else that is to be done in this process is let go before a go: there will be more to go with it.
    /// Where nothing else is to be done, that takes a few microseconds.
    const GATHERINGS: u32;

    /// About what the server and the connection have to do for it, in bytes.
    fn weight(ask: &Self::Ask) -> usize;

    /// Carries out all of them; an answer for each, in their order.
    fn carry_out(
        context: &Context,
        generation: &Generation,
        shard: Shard,
        asks: &[Self::Ask],
    ) -> impl Future<Output = Answers<Self>> + Send;
}

/// What a go is answered: each by itself, unless none was.
pub(super) type Answers<K> = Result<Vec<Answer<K>>, BackendError>;

type Answer<K> = Result<<K as Kind>::Answer, BackendError>;

/// The asks of one kind, of a generation.
pub(super) struct Together<K: Kind>(Vec<Queue<K>>);

struct Queue<K: Kind> {
    goes: Arc<Semaphore>,
    waiting: Mutex<Waiting<K>>,
    news: Notify,
}

struct Waiting<K: Kind> {
    items: VecDeque<Item<K>>,
    weight: usize,
}

struct Item<K: Kind> {
    ask: K::Ask,
    weight: usize,
    answer: oneshot::Sender<Answer<K>>,
}

impl<K: Kind> Together<K> {
    pub(super) fn new(shards: ShardCount) -> Self {
        let queue = |_| Queue {
            goes: Arc::new(Semaphore::new(K::GOES_MAX)),
            waiting: Mutex::new(Waiting { items: VecDeque::new(), weight: 0 }),
            news: Notify::new(),
        };
        Self(shards.all().map(queue).collect())
    }

    /// Has it carried out, alone or with others by [`Self::serve`].
    pub(super) async fn ask(
        &self,
        context: &Context,
        generation: &Generation,
        shard: Shard,
        ask: K::Ask,
    ) -> Answer<K> {
        let Some(queue) = self.0.get(usize::from(shard.0)) else {
            return Err(BackendError::Refused(format!("there is no shard {}", shard.0)));
        };
        let first = queue.at_once();
        if first.is_some() {
            gather::<K>().await;
            if queue.waiting().items.is_empty() {
                // the asker's future is none the larger for a way that most do not take
                let alone = Box::pin(K::carry_out(context, generation, shard, std::slice::from_ref(&ask)));
                return alone.await?.into_iter().next().unwrap_or_else(|| Err(unanswered()));
            }
        }
        let (answer, answered) = oneshot::channel();
        // It came before those that have come meanwhile, and no go holds one of them before it is there.
        queue.push(Item { weight: K::weight(&ask), ask, answer }, first.is_some())?;
        drop(first);
        // Whoever waits for longer is passed over by whoever would send it: nobody hears of its answer.
        match timeout(context.command_timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_gone)) => Err(unanswered()),
            Err(_elapsed) => Err(BackendError::TimedOut),
        }
    }

    /// Carries out what waits, as long as the generation lasts: an asker that goes away takes no other's ask along.
    pub(super) async fn serve(&self, context: &Context, generation: &Generation) {
        let shards = context.keys.count().all().zip(&self.0);
        join_all(shards.map(|(shard, queue)| queue.serve(context, generation, shard))).await;
    }
}

impl<K: Kind> Queue<K> {
    /// A go for one that comes alone: nobody waits, and no other is on its way.
    fn at_once(&self) -> Option<OwnedSemaphorePermit> {
        if !self.waiting().items.is_empty() || self.goes.available_permits() < K::GOES_MAX {
            return None;
        }
        Arc::clone(&self.goes).try_acquire_owned().ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<K>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item<K>, first: bool) -> Result<(), BackendError> {
        let mut waiting = self.waiting();
        if WAITING_MAX <= waiting.items.len() || WAITING_WEIGHT_MAX < waiting.weight + item.weight {
            return Err(BackendError::Unavailable("too many commands are waiting".to_owned()));
        }
        waiting.weight += item.weight;
        if first {
            waiting.items.push_front(item);
        } else {
            waiting.items.push_back(item);
        }
        self.news.notify_one();
        Ok(())
    }

    async fn serve(&self, context: &Context, generation: &Generation, shard: Shard) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = under_way.next() => {}
                (go, items) = self.go() => {
                    under_way.push(carry_out(context, generation, shard, go, items));
                }
            }
        }
    }

    /// The next go, with what goes in it: one at least.
    async fn go(&self) -> (OwnedSemaphorePermit, Vec<Item<K>>) {
        loop {
            let empty = self.waiting().items.is_empty();
            if empty {
                self.news.notified().await;
                continue;
            }
            // It is never closed.
            let Ok(go) = Arc::clone(&self.goes).acquire_owned().await else { continue };
            gather::<K>().await;
            let items = self.take();
            if !items.is_empty() {
                return (go, items);
            }
        }
    }

    fn take(&self) -> Vec<Item<K>> {
        let mut waiting = self.waiting();
        let (mut items, mut weight) = (Vec::new(), 0);
        while items.len() < K::ASKS_MAX {
            let next = waiting.items.front().map(|item| item.weight);
            if next.is_none_or(|next| !items.is_empty() && K::WEIGHT_MAX < weight + next) {
                break;
            }
            let Some(item) = waiting.items.pop_front() else { break };
            waiting.weight -= item.weight;
            // Who no longer waits was told that it failed, and may have asked anew.
            if !item.answer.is_closed() {
                weight += item.weight;
                items.push(item);
            }
        }
        items
    }
}

/// Whoever else is about to ask at this moment does so, and goes with the others.
async fn gather<K: Kind>() {
    for _ in 0..K::GATHERINGS {
        yield_now().await;
    }
}

async fn carry_out<K: Kind>(
    context: &Context,
    generation: &Generation,
    shard: Shard,
    _go: OwnedSemaphorePermit,
    items: Vec<Item<K>>,
) {
    let (asks, askers): (Vec<_>, Vec<_>) = items.into_iter().map(|item| (item.ask, item.answer)).unzip();
    match K::carry_out(context, generation, shard, &asks).await {
        Ok(answers) => {
            let answers = answers.into_iter().chain(std::iter::repeat_with(|| Err(unanswered())));
            for (asker, answer) in askers.into_iter().zip(answers) {
                // Whoever asked may be gone.
                drop(asker.send(answer));
            }
        }
        Err(error) => {
            for asker in askers {
                drop(asker.send(Err(error.clone())));
            }
        }
    }
}

fn unanswered() -> BackendError {
    BackendError::Unavailable("nothing was answered to this one of several asks".to_owned())
}
