//! Who holds which lock. Pure: time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use super::shard::after;
use crate::backend::{BackendError, Fence, LockAsk, LockToken, Locked};
use crate::model::{Key, LineageId};

/// Most locks held at once in a shard. Beyond it nobody gets one, for none of those held may be forgotten.
const LOCKS_MAX: usize = 100_000;

/// The locks of one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Locks {
    held: HashMap<Key, Lock>,
    /// The last fence given out: none is given out twice.
    fence: Fence,
}

#[derive(Clone, Debug)]
struct Lock {
    token: LockToken,
    fence: Fence,
    /// When it was taken: in a later lineage nobody knows whether another had it in between.
    lineage: LineageId,
    until: u64,
    wanted: bool,
}

impl Locks {
    /// What is left after a loss of everything: the last fence, for the clock may not have moved since.
    pub(super) fn forgotten(&self) -> Self {
        Self { held: HashMap::new(), fence: self.fence }
    }

    /// These, whose next fence is also above all that the others gave out.
    pub(super) fn above(&self, others: &Self) -> Self {
        Self { held: self.held.clone(), fence: self.fence.max(others.fence) }
    }

    /// See [`crate::backend::Backend::lock`].
    pub(super) fn lock(
        &mut self,
        now: u64,
        lineage: &LineageId,
        ask: LockAsk<'_>,
    ) -> Result<Locked, BackendError> {
        let LockAsk { name, token, ttl, wanted } = ask;
        let mut again = None;
        if let Some(lock) = self.held.get_mut(name).filter(|lock| now < lock.until) {
            if lock.token != *token {
                lock.wanted |= wanted;
                return Ok(Locked::Busy { left: Duration::from_millis(lock.until - now) });
            }
            again = (lock.lineage == *lineage).then_some((lock.fence, lock.wanted));
        } else if LOCKS_MAX <= self.held.len() {
            self.held.retain(|_, lock| now < lock.until);
            if LOCKS_MAX <= self.held.len() {
                return Err(BackendError::Refused(format!("{LOCKS_MAX} locks are held already")));
            }
        }
        let (fence, wanted) = again.unwrap_or_else(|| (self.next_fence(now), false));
        let lock =
            Lock { token: token.clone(), fence, lineage: lineage.clone(), until: after(now, ttl), wanted };
        self.held.insert(name.clone(), lock);
        Ok(Locked::Held(fence))
    }

    /// See [`crate::backend::Backend::extend`].
    pub(super) fn extend(
        &mut self,
        now: u64,
        lineage: &LineageId,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Option<Fence> {
        let lock = self.held.get_mut(name).filter(|lock| now < lock.until)?;
        if lock.token != *token || lock.lineage != *lineage {
            return None;
        }
        lock.until = after(now, ttl);
        Some(lock.fence)
    }

    /// Gives a lock up: whether the token held it, and whether somebody waits for that.
    pub(super) fn unlock(&mut self, now: u64, name: &Key, token: &LockToken) -> (bool, bool) {
        match self.held.get(name) {
            Some(lock) if now < lock.until && lock.token == *token => {
                let wanted = lock.wanted;
                self.held.remove(name);
                (true, wanted)
            }
            _ => (false, false),
        }
    }

    /// Microseconds since 1970, or the next number: greater than any before, also after a loss of everything.
    fn next_fence(&mut self, now: u64) -> Fence {
        self.fence = now.saturating_mul(1000).max(self.fence + 1);
        self.fence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_locks_is_bounded_and_what_ended_makes_room() {
        let (mut locks, lineage) = (Locks::default(), LineageId::new("a1"));
        let mut lock = |now: u64, name: usize| {
            let (name, token) = (Key::new(&name.to_string()).unwrap(), LockToken::random());
            let ttl = Duration::from_millis(10);
            locks.lock(now, &lineage, LockAsk { name: &name, token: &token, ttl, wanted: false })
        };
        for number in 0..LOCKS_MAX {
            assert!(matches!(lock(5, number), Ok(Locked::Held(_))));
        }
        assert!(matches!(lock(5, LOCKS_MAX), Err(BackendError::Refused(_))));
        assert!(matches!(lock(5, 0), Ok(Locked::Busy { .. })));
        assert!(matches!(lock(15, LOCKS_MAX), Ok(Locked::Held(_))));
    }

    #[test]
    fn a_fence_grows_whatever_the_clock_does() {
        let mut locks = Locks::default();
        let fences: Vec<Fence> = [5, 5, 9, 2, 10].into_iter().map(|now| locks.next_fence(now)).collect();
        assert_eq!(fences, [5000, 5001, 9000, 9001, 10_000]);
    }
}
