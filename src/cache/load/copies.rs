//! Looking in L2: plainly, or with the wish to load.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::{Load, Peeked, Purpose, doubtful};
use crate::backend::wire::{self, Envelope};
use crate::backend::{BackendError, Claim, Found, LoadId, Lookup, Stored, Token};
use crate::cache::answer::{Demand, Entry, GetError, Via};
use crate::cache::copy::Copy;
use crate::cache::flight::Landed;
use crate::cache::freshness::{Use, decide};
use crate::cache::loader::{Loader, Number};
use crate::clock::Boot;
use crate::coherence::core::Standing;
use crate::model::covering;

impl Load {
    /// The plain read: valid by this instance's own knowledge, at a third of the script's cost. A replica may answer,
    /// for an entry that lags carries an old token. An error: whoever does not answer this would not answer the script.
    pub(in crate::cache) async fn peek(&self) -> Result<Peeked, BackendError> {
        let read_began = self.now();
        match self.reader.backend.peek(&[self.space.entry(&self.key)]).await {
            Ok(found) => Ok(match found.into_iter().next().flatten() {
                Some(stored) => self.peeked(&stored, read_began).map_or(Peeked::Unusable, Peeked::Landed),
                None => Peeked::Absent,
            }),
            Err(
                error @ (BackendError::TimedOut | BackendError::Unavailable(_) | BackendError::LeftAlone(_)),
            ) => Err(error),
            Err(error) => {
                debug!(error = %error, "L2 was not read");
                Ok(Peeked::Unusable)
            }
        }
    }

    /// A plainly read entry, if this instance knows by itself that it may be answered.
    pub(in crate::cache) fn peeked(&self, stored: &Stored, read_began: Boot) -> Option<Landed> {
        let copy = self.copy(stored, read_began)?;
        let used = self.usable(&copy)?;
        (used == Use::Fresh).then(|| self.land(copy, Via::L2, read_began))
    }

    /// An entry that the backend has just proven valid and, by its own clock, fresh.
    pub(in crate::cache) fn found(&self, stored: &Stored, read_began: Boot) -> Option<Landed> {
        let copy = self.copy(stored, read_began).filter(|copy| self.outlives_the_lag(copy))?;
        Some(self.land(copy, Via::L2, read_began))
    }

    /// The server's clock may be set, and what a replica said before it had seen an event is not for longer for that.
    fn outlives_the_lag(&self, copy: &Copy) -> bool {
        copy.unseen.is_none() || copy.age(self.now()) < copy.entry.lifetime.fresh
    }

    /// The copy at hand, which the backend has just proven valid: the watermark table had suspected it for nothing.
    pub(in crate::cache) fn unchanged(&self, token: &Token, read_began: Boot) -> Option<Landed> {
        let held = self.held.as_deref().filter(|held| self.outlives_the_lag(held))?;
        self.reader.count_false_stale();
        let copy = Arc::new(Copy { stamp: self.stamp(token), ..held.clone() });
        Some(self.land(copy, Via::L2, read_began))
    }

    /// L2 alone: no claim, no origin. With what is known against the entry.
    pub(in crate::cache) async fn look(&self) -> Option<(Landed, Standing)> {
        let read_began = self.now();
        match self.lookup(None, self.have()).await.ok()? {
            Found::Fresh(stored) => Some((self.found(&stored, read_began)?, Standing::Valid)),
            Found::NotModified(token) => Some((self.unchanged(&token, read_began)?, Standing::Valid)),
            Found::Doubtful => None,
            Found::Leased { stale, .. } | Found::Busy { stale, .. } | Found::Nothing { stale } => {
                let copy = self.copy(&stale?, read_began)?;
                Some((Landed { copy, via: Via::Stale, read_began }, Standing::Soft))
            }
        }
    }

    /// A write that the origin does not have yet: there is nothing newer to load.
    pub(super) async fn pending_write(&self) -> Result<Option<Landed>, GetError> {
        let read_began = self.now();
        match self.lookup(None, None).await {
            Ok(Found::Doubtful) => Err(doubtful()),
            Ok(Found::Fresh(stored)) if stored.dirty.is_some() => Ok(self.found(&stored, read_began)),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// The wish for the lease: beside a fresh entry too, or not; perhaps after a plain read that found nothing.
    pub(super) fn claim(&self, even_if_fresh: bool, absent: bool) -> Claim {
        let place = || self.reader.coherence.place(self.shard());
        Claim {
            load: self.id.clone(),
            lease: self.space.settings.lease,
            even_if_fresh,
            absent: absent.then(place).flatten(),
        }
    }

    /// Asks for the entry, and for the lease to load it. `have` need not be sent again.
    pub(super) async fn lookup(
        &self,
        claim: Option<Claim>,
        have: Option<LoadId>,
    ) -> Result<Found, BackendError> {
        let lookup = Lookup {
            entry: self.space.entry(&self.key),
            covering: covering(self.space.name(), &self.key),
            claim,
            have,
        };
        self.reader.backend.lookup(lookup).await
    }

    /// The copy that need not be sent again. A reader that wants it afresh has none: any other would do in its place.
    pub(super) fn have(&self) -> Option<LoadId> {
        let held = || self.held.as_ref().filter(|_| self.purpose != Purpose::Afresh);
        self.ahead.clone().or_else(|| held().map(|held| held.load.id()))
    }

    /// A copy of an L2 entry; `None` if its envelope cannot be read or its time is over.
    pub(in crate::cache) fn copy(&self, stored: &Stored, now: Boot) -> Option<Arc<Copy>> {
        let envelope = match wire::decode(&stored.envelope, self.space.settings.max_value) {
            Ok(envelope) => envelope,
            Err(error) => {
                debug!(entry.key = %self.key, error = %error, "an L2 entry cannot be read, loading it again");
                return None;
            }
        };
        let Envelope { content, mut lifetime, loaded_at_ms, age, load_time, unseen, .. } = envelope;
        let since = self.reader.coherence.server_ms(now).saturating_sub(loaded_at_ms);
        let born = now - Duration::from_millis(since).saturating_add(age);
        if let Some(event) = unseen {
            let lag = self.space.settings.origin_lag;
            let left = self.reader.coherence.unseen_for(self.shard(), event, lag);
            lifetime.fresh = lifetime.fresh.min(now.since(born).saturating_add(left));
        }
        Some(Arc::new(Copy {
            entry: Arc::new(Entry::new(self.space.texts.content(content), lifetime)),
            stamp: self.stamp(&stored.token),
            slots: self.slots(&stored.names),
            names: stored.names.clone().into(),
            load: Loader::new(&stored.load, &self.space.texts),
            load_time: load_time.into(),
            born,
            dirty: stored.dirty.is_some(),
            unseen: unseen.and_then(Number::new),
        }))
    }

    /// The stale entry beside the lease, if it may be answered at all, and for what. Kept in L1, where it is judged at
    /// every read: the readers to come need not ask for it again.
    pub(super) fn stale(&self, stored: Option<&Stored>, read_began: Boot) -> Option<(Landed, Use)> {
        let copy = self.copy(stored?, read_began)?;
        let used = self.usable(&copy).filter(|used| matches!(used, Use::Stale | Use::OnError))?;
        self.space.keep(&self.key, &copy, self.now());
        Some((Landed { copy, via: Via::Stale, read_began }, used))
    }

    pub(in crate::cache) fn usable(&self, copy: &Copy) -> Option<Use> {
        let now = self.now();
        let judgement = self.reader.judge(&self.space, self.shard(), copy, now)?;
        let demand = Demand::default();
        let lifetime = &copy.entry.lifetime;
        Some(decide(judgement, copy.age(now), lifetime, &demand, self.space.settings.available))
    }
}
