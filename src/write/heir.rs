//! Handing a queue to the worker whose share it is: once nothing of it is in hand, or patience has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// To whom a queue goes.
pub(super) struct Heir {
    pub(super) to: Arc<str>,
    /// What is in hand may be finished until then.
    pub(super) until: Instant,
}

/// How many patiences pass before one that did not come for a queue, or did not keep it, is given it again: a queue that is
/// handed over may stand still for two of them.
const AGAIN: u32 = 20;

/// To whom a queue goes next, and to whom it went.
#[derive(Default)]
pub(super) struct Heirs {
    until: Option<Instant>,
    last: Option<Last>,
}

struct Last {
    to: Arc<str>,
    again: Instant,
}

impl Heirs {
    /// Who is to have the queue now, if it is this worker's own and better another's.
    pub(super) fn next(&mut self, better: Option<Arc<str>>, own: bool, patience: Duration) -> Option<Heir> {
        if better.is_none() {
            self.last = None;
        }
        let too_soon = |to: &Arc<str>| self.last.as_ref().is_some_and(|last| last.is_too_soon(to));
        let to = better.filter(|better| own && !too_soon(better));
        if to.is_none() {
            self.until = None;
        }
        let until = self.until;
        to.map(|to| Heir {
            to,
            until: *self.until.insert(until.unwrap_or_else(|| Instant::now() + patience)),
        })
    }

    /// It went to that one.
    pub(super) fn handed_to(&mut self, to: Arc<str>, patience: Duration) {
        *self = Self { until: None, last: Some(Last { to, again: Instant::now() + AGAIN * patience }) };
    }
}

impl Last {
    fn is_too_soon(&self, to: &Arc<str>) -> bool {
        self.to == *to && Instant::now() < self.again
    }
}

/// Comes when what is in hand is no longer waited for.
pub(super) async fn out_of_patience(heir: Option<&Heir>) {
    match heir {
        Some(heir) => sleep_until(heir.until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn name(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_did_not_come_for_it_is_not_given_it_again_until_shares_change_or_time_has_passed() {
        let mut heirs = Heirs::default();
        let next = |heirs: &mut Heirs, better, own| heirs.next(better, own, PATIENCE).map(|heir| heir.to);
        assert_eq!(next(&mut heirs, Some(name("b")), false), None, "nothing to hand over");
        assert_eq!(next(&mut heirs, Some(name("b")), true), Some(name("b")));
        heirs.handed_to(name("b"), PATIENCE);
        assert_eq!(next(&mut heirs, Some(name("b")), true), None);
        assert_eq!(next(&mut heirs, Some(name("c")), true), Some(name("c")));
        assert_eq!(next(&mut heirs, None, true), None);
        assert_eq!(next(&mut heirs, Some(name("b")), true), Some(name("b")));
        heirs.handed_to(name("b"), PATIENCE);
        assert_eq!(next(&mut heirs, Some(name("b")), true), None);
        tokio::time::advance(AGAIN * PATIENCE).await;
        assert_eq!(next(&mut heirs, Some(name("b")), true), Some(name("b")));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_counts_from_the_first_time() {
        let mut heirs = Heirs::default();
        let first = heirs.next(Some(name("b")), true, PATIENCE).map(|heir| heir.until);
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(heirs.next(Some(name("b")), true, PATIENCE).map(|heir| heir.until), first);
        assert!(heirs.next(None, true, PATIENCE).is_none());
        assert!(first < heirs.next(Some(name("b")), true, PATIENCE).map(|heir| heir.until));
    }
}
