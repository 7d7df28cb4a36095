//! Wake-ups: who waits for the end of what another instance holds, a lease or a lock.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::watch;

/// How a lease that somebody waited for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A value was stored.
    Filled,
    /// The load brought nothing, or may not be kept.
    Empty,
}

/// Who waits for which. As many entries as are waited for, no more.
pub(super) struct Wakes<K, E> {
    waiting: DashMap<K, Arc<watch::Sender<Option<E>>>>,
}

/// A registration, made before it is asked for what another holds, so that no end is missed.
pub struct Waker<E> {
    ended: watch::Receiver<Option<E>>,
}

impl<E: Copy> Waker<E> {
    /// How it ended, once it has; for ever if nobody says so.
    pub async fn ended(&mut self) -> E {
        let ended = self.ended.wait_for(Option::is_some).await.ok().and_then(|ended| *ended);
        match ended {
            Some(ended) => ended,
            // Every registration was dropped with its sender: nobody will tell.
            None => std::future::pending().await,
        }
    }
}

impl<K: Eq + Hash, E> Default for Wakes<K, E> {
    fn default() -> Self {
        Self { waiting: DashMap::default() }
    }
}

impl<K: Eq + Hash, E> Wakes<K, E> {
    pub(super) fn register(&self, what: K) -> Waker<E> {
        let entry = self.waiting.entry(what).or_default();
        Waker { ended: entry.subscribe() }
    }

    /// Tells all who wait for it, and forgets them.
    pub(super) fn wake(&self, what: &K, ended: E) {
        if let Some((_, sender)) = self.waiting.remove(what) {
            sender.send_replace(Some(ended));
        }
    }

    /// Forgets that for which nobody waits any more.
    pub(super) fn sweep(&self) {
        self.waiting.retain(|_, sender| sender.receiver_count() != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_a_key_are_told_and_no_others() {
        let wakes = Wakes::default();
        let mut first = wakes.register(1);
        let mut second = wakes.register(1);
        let other = wakes.register(2);
        wakes.wake(&1, Ended::Filled);
        assert_eq!(first.ended().await, Ended::Filled);
        assert_eq!(second.ended().await, Ended::Filled);
        assert!(!other.ended.has_changed().unwrap());
    }

    #[test]
    fn keys_nobody_waits_for_are_forgotten() {
        let wakes = Wakes::<_, Ended>::default();
        let waker = wakes.register(1);
        wakes.sweep();
        assert_eq!(wakes.waiting.len(), 1);
        drop(waker);
        wakes.sweep();
        assert!(wakes.waiting.is_empty());
    }
}
