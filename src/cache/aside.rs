//! Cache-aside (`origin.kind = "none"`): the application loads and stores; coherd gives out the right to, one at a time.
//!
//! A lease is good for one store, and only while nothing invalidated the key since it was given: a slow reader can never
//! put an old value back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::answer::{Answer, GetError, LeaseGrant, PutError, Via};
use super::copy::Copy;
use super::load::Purpose;
use super::reader::{FromL1, Reached, Read, Reader};
use super::space::Space;
use super::writing::Draft;
use super::{Write, Written, outcome};
use crate::backend::{BackendError, Claim, Fill, Filled, Found, LoadId, Lookup, Put, Token};
use crate::coherence::{Along, Door, PublishError, Receipt, Terms};
use crate::model::{Content, Event, Key, LineageId, Target, covering};
use crate::telemetry::labels::LeaseWait;

/// The longest wait for news of another's lease before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Beyond what is left of a lease: the server's and this machine's timers.
const LEASE_SLACK: Duration = Duration::from_millis(5);
/// A lease that lasts no time would never be one.
const LEASE_MIN: Duration = Duration::from_secs(1);

impl Reader {
    /// The value, or the right to load it.
    pub(super) async fn aside(
        self: &Arc<Self>,
        read: &Read<'_>,
        reached: Reached,
        mut held: Option<Arc<Copy>>,
    ) -> Result<Answer, GetError> {
        let Read { space, key, shard, .. } = read;
        if !self.coherence.leased(*shard, space.settings.max_staleness) {
            return Err(GetError::Unavailable("the instance is cut off from the log".to_owned()));
        }
        let lease = space.settings.lease.max(LEASE_MIN);
        let id = self.load_id();
        let young = |copy: &Copy| read.demand.max_age.is_none_or(|max| copy.age(self.now()) <= max);
        let mut even_if_fresh = read.demand.no_cache;
        loop {
            let mut waker = self.coherence.waker(space.name(), key);
            let load = self.load(space, key, Purpose::Miss, held.clone());
            let lookup = Lookup {
                entry: space.entry(key),
                covering: covering(space.name(), key),
                claim: Some(Claim { load: id.clone(), lease, even_if_fresh, absent: None }),
                // Afresh means anew, whatever another has stored.
                have: held.as_ref().filter(|_| !even_if_fresh).map(|copy| copy.load.id()),
            };
            let read_began = self.now();
            let unavailable = |error: BackendError| GetError::Unavailable(error.to_string());
            let left = match self.backend.lookup(lookup).await.map_err(unavailable)? {
                Found::Fresh(stored) => match load.found(&stored, read_began) {
                    Some(landed) if !even_if_fresh && !young(&landed.copy) => {
                        even_if_fresh = true;
                        continue;
                    }
                    Some(landed) => return self.shown(read, &reached, &landed.copy, &stored.token),
                    None => return Err(GetError::Unavailable("the L2 entry cannot be read".to_owned())),
                },
                Found::NotModified(token) => match load.unchanged(&token, read_began) {
                    Some(landed) if !even_if_fresh && !young(&landed.copy) => {
                        even_if_fresh = true;
                        continue;
                    }
                    Some(landed) => return self.shown(read, &reached, &landed.copy, &token),
                    None => return Err(GetError::Unavailable("the L2 entry is gone".to_owned())),
                },
                Found::Leased { token, .. } => {
                    return Err(GetError::Missing { lease: Some(grant(id, &token)) });
                }
                // Nothing is written behind without an origin, and so nothing doubtful.
                Found::Nothing { .. } | Found::Doubtful => return Err(GetError::Missing { lease: None }),
                Found::Busy { left, .. } => left,
            };
            if lease <= self.now().since(read.arrived) {
                return Err(GetError::Missing { lease: None });
            }
            let woken = timeout((left + LEASE_SLACK).min(LOOK_AGAIN), waker.ended()).await.is_ok();
            self.count_wait(if woken { LeaseWait::Woken } else { LeaseWait::Expired });
            // What was not known to be new enough on arrival is not for having waited: only L2 can show that it is.
            if reached == Reached::Yes {
                match self.from_l1(read) {
                    FromL1::Answer(answer, _) => return Ok(answer),
                    FromL1::Held(copy) => held = copy,
                }
            }
        }
    }

    /// What L2 says is valid as of that token, if it is as new as the reader asks: a primary that was replaced still
    /// answers whoever only reads.
    fn shown(
        &self,
        read: &Read<'_>,
        reached: &Reached,
        copy: &Copy,
        token: &Token,
    ) -> Result<Answer, GetError> {
        let new_enough = match reached {
            Reached::Yes => self.proven(read, copy),
            Reached::No(needed) => needed.as_ref().is_some_and(|needed| needed.seen_by(token)),
        };
        if !new_enough {
            return Err(GetError::Unavailable("L2 does not show that its entry is new enough".to_owned()));
        }
        let detached = !self.coherence.leased(read.shard, read.space.settings.max_staleness);
        Ok(Answer { entry: Arc::clone(&copy.entry), age: copy.age(self.now()), via: Via::L2, detached })
    }

    /// Stores: under a lease only if nothing invalidated the key since; without one as a change like any other.
    pub(super) async fn put(&self, space: &Arc<Space>, key: &Key, write: Write) -> Result<Written, PutError> {
        if space.settings.origin.is_some() {
            return Err(PutError::Off);
        }
        space.fits(&write.value)?;
        let (load, token) = match write.lease.as_deref().map(granted) {
            Some(None) => return Err(PutError::LeaseLost),
            Some(Some((load, token))) => (Some(load), Some(token)),
            None => (None, None),
        };
        let draft = self.draft(space, key, Content::Present(write.value), write.lifetime, &write.tags, load);
        let (token, written) = if let Some(token) = token {
            self.put_leased(space, key, &draft.load, &token, draft.put.clone()).await?;
            (token, Written::Leased)
        } else {
            let (token, receipt) = self.put_changed(space, key, &draft, write.confirm).await?;
            (token, Written::Changed(receipt))
        };
        self.keep_written(space, key, draft, &token);
        Ok(written)
    }

    async fn put_leased(
        &self,
        space: &Space,
        key: &Key,
        load: &LoadId,
        token: &Token,
        put: Put,
    ) -> Result<(), PutError> {
        let (entry, covering) = (space.entry(key), covering(space.name(), key));
        let fill = Fill { entry, load: load.clone(), token: token.clone(), covering, put, leased: true };
        match self.backend.fill(fill).await? {
            Filled::Stored => Ok(()),
            Filled::Refused(refusal) => {
                space.metrics.fills_rejected.of(outcome::fill_cause(refusal)).inc();
                Err(PutError::LeaseLost)
            }
        }
    }

    /// The value with the event that announces it, in one step.
    async fn put_changed(
        &self,
        space: &Space,
        key: &Key,
        draft: &Draft,
        confirm: bool,
    ) -> Result<(Token, Receipt), PutError> {
        let Draft { entry, load, put, .. } = draft.clone();
        let along = Along::Value { entry, load, put };
        let event = Event::hard(vec![Target::Key(space.name().clone(), key.clone())]);
        let receipt = self.coherence.publish_along(event, along, &terms(confirm)).await;
        let receipt = receipt.map_err(backend_error)?;
        let token = receipt.token(self.coherence.shard_of(space.name(), key)).ok_or(PutError::LeaseLost)?;
        Ok((token, receipt))
    }

    /// Removes: an event.
    pub(super) async fn delete(&self, space: &Space, key: &Key, confirm: bool) -> Result<Receipt, PutError> {
        if space.settings.origin.is_some() {
            return Err(PutError::Off);
        }
        let event = Event::hard(vec![Target::Key(space.name().clone(), key.clone())]);
        let receipt = self.coherence.publish(event, &terms(confirm)).await.map_err(backend_error)?;
        space.l1.remove(key);
        Ok(receipt)
    }
}

fn terms(confirm: bool) -> Terms {
    Terms { confirm, ..Terms::of(Door::Write) }
}

fn backend_error(error: PublishError) -> PutError {
    match error {
        PublishError::Backend(error) => PutError::Backend(error),
        // A key has no boundary to be on.
        PublishError::NotOnBoundary(_) => PutError::LeaseLost,
    }
}

/// What a client is handed: the load, its lineage and its token, in one text that means nothing to it.
pub(super) fn grant(load: LoadId, token: &Token) -> LeaseGrant {
    let text = format!("{}.{}.{}", load.0, token.lineage.as_str(), token.seq);
    LeaseGrant { token: text, load }
}

/// What a client hands back; the backend holds it against the lease it gave.
pub(super) fn granted(text: &str) -> Option<(LoadId, Token)> {
    // A load's name may hold the dot.
    let mut parts = text.rsplitn(3, '.');
    let seq = parts.next()?.parse().ok()?;
    let lineage = LineageId::new(parts.next()?);
    let load = LoadId(parts.next()?.into());
    Some((load, Token { lineage, seq }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_reads_as_it_was_given_and_nothing_else_does() {
        let token = Token { lineage: LineageId::new("ab12"), seq: 7 };
        let load = LoadId::new("inst.1", 3, 12);
        let given = grant(load.clone(), &token);
        assert_eq!(load.instance(), Some("inst.1"));
        assert_eq!(granted(&given.token), Some((load, token)));
        for bad in ["", "x", "a.b", "a.b.c", "a.b.-1", "a.7"] {
            assert_eq!(granted(bad), None, "{bad}");
        }
    }
}
