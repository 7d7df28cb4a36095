//! Keeping what a load brought: as a copy, in L2, in L1.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Load;
use super::origin::Brought;
use crate::backend::wire::{self, Envelope};
use crate::backend::{BackendError, Fill, Filled, LinkState, Put, Token};
use crate::cache::answer::{Entry, Via};
use crate::cache::copy::Copy;
use crate::cache::flight::Landed;
use crate::cache::loader::{Loader, Number};
use crate::cache::outcome;
use crate::clock::Boot;
use crate::coherence::Unseen;
use crate::coherence::core::{Slots, Stamp};
use crate::model::{Content, Keep, Lifetime, Name, covering};
use crate::supervisor::Stage;

/// Between two attempts to give up a lease.
const GIVE_BACK_AGAIN: Duration = Duration::from_millis(100);
/// For the end of a lease, where little or nothing of it is left: whoever waits for the load waits for that, too.
const END_MIN: Duration = Duration::from_millis(250);

impl Load {
    /// Whether L2 took it.
    pub(super) async fn fill(&self, copy: &Copy, brought: &Brought, token: Token, leased: bool) -> bool {
        let now = self.now();
        let began = copy.born + brought.age;
        let envelope = Envelope {
            content: copy.entry.content.clone(),
            lifetime: copy.entry.lifetime,
            loaded_at_ms: self.reader.coherence.server_ms(began),
            age: brought.age,
            loader: self.reader.instance.clone(),
            load_time: copy.load_time.into(),
            unseen: copy.unseen.map(Number::get),
        };
        let put = Put {
            names: brought.names.clone(),
            envelope: wire::encode(&envelope, &self.space.settings.compression),
            fresh: copy.entry.lifetime.fresh.saturating_sub(copy.age(now)),
            kept: copy.left(now),
        };
        let entry = self.space.entry(&self.key);
        let covering = covering(self.space.name(), &self.key);
        let fill = Fill { entry, load: self.id.clone(), token, covering, put, leased };
        // After the lease it would be refused.
        let limit = self.space.settings.lease.saturating_sub(now.since(began)).max(END_MIN);
        let filled = timeout(limit, self.reader.backend.fill(fill)).await.unwrap_or_else(|_elapsed| {
            self.reader.supervisor.overran("cache.fill", limit);
            Err(BackendError::TimedOut)
        });
        match filled {
            Ok(Filled::Stored) => true,
            Ok(Filled::Refused(refusal)) => {
                debug!(entry.key = %self.key, cause = ?refusal, "a fill was refused");
                self.space.metrics.fills_rejected.of(outcome::fill_cause(refusal)).inc();
                false
            }
            Err(error) => {
                debug!(error = %error, "a loaded value was not stored in L2");
                if leased {
                    self.give_back();
                }
                false
            }
        }
    }

    /// Others may load. Where the backend does not say so soon, this goes on beside.
    pub(super) async fn release(&self) {
        let entry = self.space.entry(&self.key);
        let released = timeout(END_MIN, self.reader.backend.release(&entry, &self.id)).await;
        if !matches!(released, Ok(Ok(()))) {
            self.give_back();
        }
    }

    /// Gives up a lease that this load may hold though nobody will end it: what was asked of the backend had no answer.
    /// Beside the answer to the reader, as soon as the backend is there; after the lease there is nothing to give.
    pub(super) fn give_back(&self) {
        let Ok(permit) = Arc::clone(&self.reader.given_back).try_acquire_owned() else { return };
        let (backend, supervisor) = (Arc::clone(&self.reader.backend), &self.reader.supervisor);
        let (entry, id, lease) = (self.space.entry(&self.key), self.id.clone(), self.space.settings.lease);
        let stop = supervisor.stopping(Stage::Load);
        let release = async move {
            let _permit = permit;
            let mut link = backend.link();
            let released = timeout(lease, async {
                // The connection that did not answer may take a while to be given up.
                while link.wait_for(|state| matches!(state, LinkState::Up { .. })).await.is_ok()
                    && backend.release(&entry, &id).await.is_err()
                {
                    sleep(GIVE_BACK_AGAIN).await;
                }
            });
            if !matches!(stop.run_until_cancelled(released).await, Some(Ok(()))) {
                debug!("a lease was not given up, it runs out by itself");
            }
        };
        drop(supervisor.spawn(Stage::Load, "cache.release", release));
    }

    /// Into L1, and to whoever waits.
    pub(super) fn land(&self, copy: Arc<Copy>, via: Via, read_began: Boot) -> Landed {
        let via = if copy.dirty { Via::PendingWrite } else { via };
        self.space.setbacks.over(&self.key);
        // When a pending write has reached the origin is announced to nobody: only L2 knows.
        let kept = matches!(via, Via::L2 | Via::Origin { .. });
        if kept && !copy.left(self.now()).is_zero() {
            self.space.keep(&self.key, &copy, self.now());
        }
        Landed { copy, via, read_began }
    }

    /// A copy of what the origin brought.
    pub(super) fn loaded(&self, brought: &Brought, token: Option<&Token>, read_began: Boot) -> Arc<Copy> {
        let settings = &self.space.settings;
        let lifetime = match brought.content {
            // What may not be stored is not to be stored downstream either.
            _ if brought.keep == Keep::NoStore => Lifetime::default(),
            Content::Present(_) => brought.stated.or(self.space.jittered(settings.lifetime)),
            Content::Absent => Lifetime { fresh: settings.negative_ttl, ..Lifetime::default() },
        };
        let slots = self.slots(&brought.names);
        let unseen = token.and_then(|token| {
            self.reader.coherence.unseen(self.shard(), &slots, token, read_began, settings.origin_lag)
        });
        let age = brought.age + self.now().since(read_began);
        let lifetime = unseen.map_or(lifetime, |unseen| until_seen(lifetime, age, unseen));
        Arc::new(Copy {
            entry: Arc::new(Entry::new(self.space.texts.content(brought.content.clone()), lifetime)),
            stamp: token.and_then(|token| self.stamp(token)),
            slots,
            names: brought.names.clone().into(),
            load: Loader::new(&self.id, &self.space.texts),
            load_time: self.now().since(read_began).into(),
            born: read_began - brought.age,
            dirty: false,
            unseen: unseen.and_then(|unseen| Number::new(unseen.event)),
        })
    }

    pub(super) fn slots(&self, names: &[Name]) -> Slots {
        let own = covering(self.space.name(), &self.key);
        Slots::of(own.iter().chain(names))
    }

    pub(super) fn stamp(&self, token: &Token) -> Option<Stamp> {
        self.reader.coherence.stamp(self.shard(), token)
    }
}

/// The lifetime of a copy of `age` whose load may have read a replica of the origin that lags: it ends with the lag. Where
/// only a soft event may be unseen, what was before it may still be answered as stale.
fn until_seen(lifetime: Lifetime, age: Duration, unseen: Unseen) -> Lifetime {
    let fresh = lifetime.fresh.min(age.saturating_add(unseen.left));
    if unseen.hard { Lifetime { fresh, ..Lifetime::default() } } else { Lifetime { fresh, ..lifetime } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lagging_replica_may_have_said_is_kept_no_longer_than_the_lag() {
        let s = Duration::from_secs;
        let lifetime = Lifetime { fresh: s(60), stale_while_revalidate: s(5), stale_if_error: s(9) };
        let of = |left, hard| until_seen(lifetime, s(1), Unseen { left: s(left), hard, event: 1 });
        assert_eq!(of(3, true), Lifetime { fresh: s(4), ..Lifetime::default() });
        assert_eq!(of(0, true).kept(), s(1), "no time is left");
        assert_eq!(of(3, false), Lifetime { fresh: s(4), ..lifetime });
        assert_eq!(of(100, false), lifetime);
    }
}
