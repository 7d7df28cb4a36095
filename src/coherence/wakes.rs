//! Wake-ups: loads that wait for another instance's lease on the same key.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::watch;

use crate::model::{Key, Namespace};

/// How a lease that somebody waited for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A value was stored.
    Filled,
    /// The load brought nothing, or may not be kept.
    Empty,
}

/// Who waits for which key. As many entries as loads that wait, no more.
#[derive(Default)]
pub(super) struct Wakes {
    waiting: DashMap<(Namespace, Key), Arc<watch::Sender<Option<Ended>>>>,
}

/// A registration, made before the lease is asked for so that no end is missed.
pub struct Waker {
    ended: watch::Receiver<Option<Ended>>,
}

impl Waker {
    /// How the lease ended, once it has; for ever if nobody says so.
    pub async fn ended(&mut self) -> Ended {
        let ended = self.ended.wait_for(Option::is_some).await.map(|ended| ended.unwrap_or(Ended::Empty));
        match ended {
            Ok(ended) => ended,
            // Every registration of the key was dropped with its sender: nobody will tell.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Wakes {
    pub(super) fn register(&self, namespace: &Namespace, key: &Key) -> Waker {
        let entry = self.waiting.entry((namespace.clone(), key.clone())).or_default();
        Waker { ended: entry.subscribe() }
    }

    /// Tells all who wait for the key, and forgets them.
    pub(super) fn wake(&self, namespace: Namespace, key: Key, ended: Ended) {
        if let Some((_, sender)) = self.waiting.remove(&(namespace, key)) {
            sender.send_replace(Some(ended));
        }
    }

    /// Forgets keys for which nobody waits any more.
    pub(super) fn sweep(&self) {
        self.waiting.retain(|_, sender| sender.receiver_count() != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(key: &str) -> (Namespace, Key) {
        (Namespace::new("users").unwrap(), Key::new(key).unwrap())
    }

    #[tokio::test]
    async fn all_who_wait_for_a_key_are_told_and_no_others() {
        let wakes = Wakes::default();
        let (ns, one) = users("1");
        let (_, two) = users("2");
        let mut first = wakes.register(&ns, &one);
        let mut second = wakes.register(&ns, &one);
        let other = wakes.register(&ns, &two);
        wakes.wake(ns, one, Ended::Filled);
        assert_eq!(first.ended().await, Ended::Filled);
        assert_eq!(second.ended().await, Ended::Filled);
        assert!(!other.ended.has_changed().unwrap());
    }

    #[test]
    fn keys_nobody_waits_for_are_forgotten() {
        let wakes = Wakes::default();
        let (ns, one) = users("1");
        let waker = wakes.register(&ns, &one);
        wakes.sweep();
        assert_eq!(wakes.waiting.len(), 1);
        drop(waker);
        wakes.sweep();
        assert!(wakes.waiting.is_empty());
    }
}
