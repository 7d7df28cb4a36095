//! Queues of those who wait in this process for the same lock, in order of arrival: one of each asks the backend, however
//! many wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::model::Key;

/// As many as there are locks that somebody waits for here.
#[derive(Default)]
pub(super) struct Queues(Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>);

/// The first place of a queue; dropping it gives it to the next.
pub(super) struct Turn<'a> {
    // Before the place: whoever leaves holds nothing of the queue any more.
    _first: OwnedMutexGuard<()>,
    _place: Place<'a>,
}

/// A place in a queue. The last one to leave takes the queue away.
struct Place<'a> {
    queues: &'a Queues,
    name: Key,
    queue: Arc<tokio::sync::Mutex<()>>,
}

impl Queues {
    /// Waits until all who came before are served or gone.
    pub(super) async fn enter(&self, name: &Key) -> Turn<'_> {
        let place = self.place(name);
        let first = Arc::clone(&place.queue).lock_owned().await;
        Turn { _first: first, _place: place }
    }

    fn place(&self, name: &Key) -> Place<'_> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = Arc::clone(queues.entry(name.clone()).or_default());
        Place { queues: self, name: name.clone(), queue }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queues = self.queues.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own and this one: whoever is in the queue beside holds another.
        if queues.get(&self.name).is_some_and(|queue| Arc::strong_count(queue) <= 2) {
            queues.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_in_order_of_arrival_and_nothing_is_left() {
        let (queues, name, other) = (Queues::default(), Key::new("a").unwrap(), Key::new("b").unwrap());
        let first = queues.enter(&name).await;
        let mut second = Box::pin(queues.enter(&name));
        let mut third = Box::pin(queues.enter(&name));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        assert!(queues.enter(&other).now_or_never().is_some());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.await;
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(third.await);
        assert!(queues.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue_to_the_next() {
        let (queues, name) = (Queues::default(), Key::new("a").unwrap());
        let first = queues.enter(&name).await;
        let mut gone = Box::pin(queues.enter(&name));
        let mut next = Box::pin(queues.enter(&name));
        assert!(gone.as_mut().now_or_never().is_none() && next.as_mut().now_or_never().is_none());
        drop(gone);
        drop(first);
        drop(next.await);
        assert!(queues.0.lock().unwrap().is_empty());
    }
}
