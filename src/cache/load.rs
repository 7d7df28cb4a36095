//! What a flight does: L2, the lease, the origin, and what may be kept of what it brought.
//!
//! The token comes with the lease, before the origin is asked. What the load brings goes to whoever started it in any
//! case, for nothing of it was read before their request; into L2 if the fill is accepted; into L1 with its token,
//! which is checked at every read.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use super::answer::{Entry, GetError, Via};
use super::copy::Copy;
use super::flight::{Landed, Outcome};
use super::freshness::{Use, decide};
use super::reader::Reader;
use super::space::Space;
use super::{Demand, outcome};
use crate::backend::wire::{self, Envelope};
use crate::backend::{BackendError, Claim, Fill, Filled, Found, LoadId, Lookup, Put, Stored, Token};
use crate::clock::Boot;
use crate::coherence::Ended;
use crate::coherence::core::{Slots, Stamp, Standing};
use crate::model::{Content, Keep, Key, Lifetime, Name, Shard, Stated, covering};
use crate::origin::{Fetched, OriginError, Validators};
use crate::telemetry::labels::{LeaseWait, OriginOutcome, RefreshOutcome};

/// The longest wait for news of another load before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Beyond what is left of a lease: the server's and this machine's timers.
const LEASE_SLACK: Duration = Duration::from_millis(5);

/// Why a load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A reader has no copy.
    Miss,
    /// A reader wants it afresh, whatever the tiers hold.
    Afresh,
    /// A stale copy was answered; nobody waits.
    Refresh,
}

/// What the origin brought, with the names that cover it beside the key's own.
struct Brought {
    content: Content,
    names: Vec<Name>,
    stated: Stated,
    age: Duration,
    keep: Keep,
}

/// One load of one key.
pub(super) struct Load {
    pub(super) reader: Arc<Reader>,
    pub(super) space: Arc<Space>,
    pub(super) key: Key,
    pub(super) purpose: Purpose,
    /// The copy at hand that could not be answered: it may still be what L2 or the origin has.
    pub(super) held: Option<Arc<Copy>>,
    pub(super) load: LoadId,
}

impl Load {
    /// Brings an outcome: within the lease and the origin's time, whatever fails.
    pub(super) async fn run(self) -> Outcome {
        let outcome = self.fly().await;
        if self.purpose == Purpose::Refresh {
            self.count_refresh(&outcome);
        }
        outcome
    }

    async fn fly(&self) -> Outcome {
        if !self.leased() {
            return self.past_the_copies().await;
        }
        if self.purpose == Purpose::Miss
            && let Some(landed) = self.peek().await
        {
            return Ok(landed);
        }
        if self.space.settings.lease.is_zero() {
            return self.without_lease().await;
        }
        let began = self.now();
        let patience = self.space.settings.lease + self.space.settings.load_max;
        let mut even_if_fresh = self.purpose != Purpose::Miss;
        loop {
            // Registered before asking: the end of another's lease in between is not missed.
            let mut waker = self.reader.coherence.waker(self.space.name(), &self.key);
            let read_began = self.now();
            let found = match self.lookup(Some(even_if_fresh)).await {
                Ok(found) => found,
                Err(error) => return self.without_backend(&error).await,
            };
            let (left, stale) = match found {
                Found::Fresh(stored) => match self.found(&stored, read_began) {
                    Some(landed) => return Ok(landed),
                    // Not readable: load it again over what is there.
                    None if !even_if_fresh => {
                        even_if_fresh = true;
                        continue;
                    }
                    None => return self.past_the_copies().await,
                },
                Found::NotModified(token) => match self.unchanged(&token, read_began) {
                    Some(landed) => return Ok(landed),
                    None => return self.past_the_copies().await,
                },
                Found::Leased { token, stale } => return self.under_lease(token, stale).await,
                Found::Busy { left, stale } => (left, stale),
                Found::Nothing { .. } => return self.past_the_copies().await,
            };
            if let Some(landed) = self.stale(stale.as_ref(), Use::Stale, read_began) {
                return Ok(landed);
            }
            if self.purpose == Purpose::Refresh {
                return Err(GetError::Unavailable("another instance refreshes it".to_owned()));
            }
            let ended = timeout((left + LEASE_SLACK).min(LOOK_AGAIN), waker.ended()).await;
            let waited = self.now().since(began);
            self.reader.count_wait(match ended {
                Ok(_) => LeaseWait::Woken,
                Err(_) => LeaseWait::Expired,
            });
            if ended == Ok(Ended::Empty) && self.space.settings.load_max <= waited + LOOK_AGAIN / 10 {
                // The other load had all the time that this one would have had.
                return Err(OriginError::TimedOut.into());
            }
            if patience <= waited {
                self.reader.count_wait(LeaseWait::TimedOut);
                return self.past_the_copies().await;
            }
        }
    }

    /// The plain read: valid by this instance's own knowledge, at a third of the script's cost. A replica may answer,
    /// for an entry that lags carries an old token.
    async fn peek(&self) -> Option<Landed> {
        let read_began = self.now();
        match self.reader.backend.peek(&[self.space.entry(&self.key)]).await {
            Ok(found) => self.peeked(found.into_iter().next().flatten().as_ref()?, read_began),
            Err(error) => {
                debug!(error = %error, "L2 was not read");
                None
            }
        }
    }

    /// A plainly read entry, if this instance knows by itself that it may be answered.
    pub(super) fn peeked(&self, stored: &Stored, read_began: Boot) -> Option<Landed> {
        let copy = self.copy(stored, read_began)?;
        let used = self.usable(&copy)?;
        (used == Use::Fresh).then(|| self.land(copy, Via::L2, read_began))
    }

    /// An entry that the backend has just proven valid.
    pub(super) fn found(&self, stored: &Stored, read_began: Boot) -> Option<Landed> {
        Some(self.land(self.copy(stored, read_began)?, Via::L2, read_began))
    }

    /// The copy at hand, which the backend has just proven valid: the watermark table had suspected it for nothing.
    pub(super) fn unchanged(&self, token: &Token, read_began: Boot) -> Option<Landed> {
        let held = self.held.as_deref()?;
        self.reader.count_false_stale();
        let copy = Arc::new(Copy { stamp: self.stamp(token), ..held.clone() });
        Some(self.land(copy, Via::L2, read_began))
    }

    /// L2 alone: no claim, no origin. With what is known against the entry.
    pub(super) async fn look(&self) -> Option<(Landed, Standing)> {
        let read_began = self.now();
        match self.lookup(None).await.ok()? {
            Found::Fresh(stored) => Some((self.found(&stored, read_began)?, Standing::Valid)),
            Found::NotModified(token) => Some((self.unchanged(&token, read_began)?, Standing::Valid)),
            Found::Leased { stale, .. } | Found::Busy { stale, .. } | Found::Nothing { stale } => {
                let copy = self.copy(&stale?, read_began)?;
                Some((Landed { copy, via: Via::Stale, read_began }, Standing::Soft))
            }
        }
    }

    async fn lookup(&self, claim: Option<bool>) -> Result<Found, BackendError> {
        let claim = claim.map(|even_if_fresh| Claim {
            load: self.load.clone(),
            lease: self.space.settings.lease,
            even_if_fresh,
        });
        let lookup = Lookup {
            entry: self.space.entry(&self.key),
            covering: covering(self.space.name(), &self.key),
            claim,
            have: self.held.as_ref().map(|held| held.load.clone()),
        };
        self.reader.backend.lookup(lookup).await
    }

    /// The lease is ours: ask the origin, store, and give the lease back in any case.
    async fn under_lease(&self, token: Token, stale: Option<Stored>) -> Outcome {
        let read_began = self.now();
        let kept =
            stale.as_ref().and_then(|stored| self.copy(stored, read_began)).or_else(|| self.held.clone());
        match self.ask(kept.as_deref()).await {
            Ok(loaded) => {
                let copy = self.loaded(&loaded, Some(&token), read_began);
                if !self.keeps(&loaded) {
                    self.release().await;
                    return Ok(Landed { copy, via: via(&loaded, false), read_began });
                }
                let stored = self.fill(&copy, &loaded, token, true).await;
                Ok(self.land(copy, via(&loaded, stored), read_began))
            }
            Err(error) => {
                self.release().await;
                let stale = self.stale(stale.as_ref(), Use::OnError, read_began);
                stale.map_or_else(|| Err(error.into()), Ok)
            }
        }
    }

    /// One load per instance: the token is the head, asked for before the origin.
    async fn without_lease(&self) -> Outcome {
        let token = match self.reader.backend.head(self.shard()).await {
            Ok(token) => token,
            Err(error) => return self.without_backend(&error).await,
        };
        let read_began = self.now();
        let loaded = self.ask(self.held.as_deref()).await?;
        let copy = self.loaded(&loaded, Some(&token), read_began);
        if !self.keeps(&loaded) {
            return Ok(Landed { copy, via: via(&loaded, false), read_began });
        }
        let stored = self.fill(&copy, &loaded, token, false).await;
        Ok(self.land(copy, via(&loaded, stored), read_began))
    }

    async fn without_backend(&self, error: &BackendError) -> Outcome {
        debug!(error = %error, "L2 was not asked, going to the origin");
        self.past_the_copies().await
    }

    /// To the origin, keeping nothing: there is no token to keep it under.
    async fn past_the_copies(&self) -> Outcome {
        let read_began = self.now();
        let loaded = self.ask(None).await?;
        let copy = self.loaded(&loaded, None, read_began);
        let via = if loaded.keep == Keep::TooLarge { Via::TooLarge } else { Via::Bypass };
        Ok(Landed { copy, via, read_began })
    }

    async fn ask(&self, kept: Option<&Copy>) -> Result<Brought, OriginError> {
        let Some(origin) = &self.space.settings.origin else {
            return Err(OriginError::Failed("the namespace has no origin".to_owned()));
        };
        let held = kept.and_then(|copy| match &copy.entry.content {
            Content::Present(value) => Some(value),
            Content::Absent => None,
        });
        let validators = held
            .map(|value| Validators { etag: value.etag.clone(), last_modified: value.last_modified.clone() });
        let began = self.now();
        let fetched = origin.load(&self.key, validators.as_ref()).await;
        let metrics = &self.space.metrics.origin;
        metrics.duration.observe(self.now().since(began).as_secs_f64());
        metrics.requests.of(origin_outcome(&fetched)).inc();
        match (fetched?, kept, held) {
            (Fetched::Loaded(loaded), ..) => {
                let names = self.space.names(&self.key, &loaded.tags);
                Ok(Brought {
                    content: loaded.content,
                    names,
                    stated: loaded.lifetime,
                    age: loaded.age,
                    keep: loaded.keep,
                })
            }
            // What still stands is still covered by what covered it.
            (Fetched::NotModified { lifetime, age, keep }, Some(copy), Some(value)) => Ok(Brought {
                content: Content::Present(value.clone()),
                names: copy.names.to_vec(),
                stated: lifetime,
                age,
                keep,
            }),
            (Fetched::NotModified { .. }, ..) => {
                Err(OriginError::Failed("304 to an unconditional request".to_owned()))
            }
        }
    }

    /// Whether what was loaded may be kept in the tiers.
    fn keeps(&self, loaded: &Brought) -> bool {
        let absent = loaded.content == Content::Absent;
        loaded.keep == Keep::Yes && !(absent && self.space.settings.negative_ttl.is_zero())
    }

    /// A copy of what the origin brought.
    fn loaded(&self, brought: &Brought, token: Option<&Token>, read_began: Boot) -> Arc<Copy> {
        let settings = &self.space.settings;
        let lifetime = match brought.content {
            // What may not be stored is not to be stored downstream either.
            _ if brought.keep == Keep::NoStore => Lifetime::default(),
            Content::Present(_) => brought.stated.or(self.space.jittered(settings.lifetime)),
            Content::Absent => Lifetime { fresh: settings.negative_ttl, ..Lifetime::default() },
        };
        Arc::new(Copy {
            entry: Arc::new(Entry { content: brought.content.clone(), lifetime }),
            stamp: token.and_then(|token| self.stamp(token)),
            slots: self.slots(&brought.names),
            names: brought.names.clone().into(),
            load: self.load.clone(),
            born: read_began - brought.age,
            dirty: false,
        })
    }

    /// Whether L2 took it.
    async fn fill(&self, copy: &Copy, brought: &Brought, token: Token, leased: bool) -> bool {
        let now = self.now();
        let began = copy.born + brought.age;
        let envelope = Envelope {
            content: copy.entry.content.clone(),
            lifetime: copy.entry.lifetime,
            loaded_at_ms: self.reader.coherence.server_ms(began),
            age: brought.age,
            loader: self.reader.instance.clone(),
            load_time: now.since(began),
        };
        let put = Put {
            names: brought.names.clone(),
            envelope: wire::encode(&envelope, &self.space.settings.compression),
            fresh: copy.entry.lifetime.fresh.saturating_sub(copy.age(now)),
            kept: copy.left(now),
        };
        let entry = self.space.entry(&self.key);
        let covering = covering(self.space.name(), &self.key);
        match self
            .reader
            .backend
            .fill(Fill { entry, load: self.load.clone(), token, covering, put, leased })
            .await
        {
            Ok(Filled::Stored) => true,
            Ok(Filled::Refused(refusal)) => {
                debug!(entry.key = %self.key, cause = ?refusal, "a fill was refused");
                self.space.metrics.fills_rejected.of(outcome::fill_cause(refusal)).inc();
                false
            }
            Err(error) => {
                debug!(error = %error, "a loaded value was not stored in L2");
                false
            }
        }
    }

    /// Others may load. If this fails they wait until the lease runs out.
    async fn release(&self) {
        if let Err(error) = self.reader.backend.release(&self.space.entry(&self.key), &self.load).await {
            debug!(error = %error, "a lease was not given up, it runs out by itself");
        }
    }

    /// A copy of an L2 entry; `None` if its envelope cannot be read or its time is over.
    fn copy(&self, stored: &Stored, now: Boot) -> Option<Arc<Copy>> {
        let envelope = match wire::decode(&stored.envelope, self.space.settings.max_value) {
            Ok(envelope) => envelope,
            Err(error) => {
                debug!(entry.key = %self.key, error = %error, "an L2 entry cannot be read, loading it again");
                return None;
            }
        };
        let Envelope { content, lifetime, loaded_at_ms, age, .. } = envelope;
        let since = self.reader.coherence.server_ms(now).saturating_sub(loaded_at_ms);
        Some(Arc::new(Copy {
            entry: Arc::new(Entry { content, lifetime }),
            stamp: self.stamp(&stored.token),
            slots: self.slots(&stored.names),
            names: stored.names.clone().into(),
            load: stored.load.clone(),
            born: now - Duration::from_millis(since).saturating_add(age),
            dirty: stored.dirty.is_some(),
        }))
    }

    /// The stale entry beside the lease, if it may be answered for this use.
    fn stale(&self, stored: Option<&Stored>, wanted: Use, read_began: Boot) -> Option<Landed> {
        if self.purpose != Purpose::Miss {
            return None;
        }
        let copy = self.copy(stored?, read_began)?;
        let used = self.usable(&copy)?;
        let allowed = used == wanted || (wanted == Use::OnError && used == Use::Stale);
        allowed.then_some(Landed { copy, via: Via::Stale, read_began })
    }

    fn usable(&self, copy: &Copy) -> Option<Use> {
        let judgement = self.reader.judge(&self.space, self.shard(), copy)?;
        let demand = Demand::default();
        let lifetime = &copy.entry.lifetime;
        Some(decide(judgement, copy.age(self.now()), lifetime, &demand, self.space.settings.available))
    }

    /// Into L1, and to whoever waits.
    fn land(&self, copy: Arc<Copy>, via: Via, read_began: Boot) -> Landed {
        let via = if copy.dirty { Via::PendingWrite } else { via };
        let kept = matches!(via, Via::L2 | Via::PendingWrite | Via::Origin { .. });
        if kept && !copy.left(self.now()).is_zero() {
            self.space.l1.put(self.key.shared(), Arc::clone(&copy));
        }
        Landed { copy, via, read_began }
    }

    fn count_refresh(&self, outcome: &Outcome) {
        let outcome = match outcome {
            Ok(Landed { via: Via::Origin { stored: true }, .. }) => RefreshOutcome::Stored,
            Ok(Landed { via: Via::Origin { stored: false } | Via::TooLarge | Via::Bypass, .. }) => {
                RefreshOutcome::Rejected
            }
            Ok(_) => RefreshOutcome::NotModified,
            Err(GetError::Unavailable(_)) => RefreshOutcome::Busy,
            Err(_) => RefreshOutcome::Failed,
        };
        self.space.metrics.refreshes.of(outcome).inc();
    }

    fn slots(&self, names: &[Name]) -> Slots {
        let own = covering(self.space.name(), &self.key);
        Slots::of(own.iter().chain(names))
    }

    fn stamp(&self, token: &Token) -> Option<Stamp> {
        self.reader.coherence.stamp(self.shard(), token)
    }

    fn shard(&self) -> Shard {
        self.reader.coherence.shard_of(self.space.name(), &self.key)
    }

    fn leased(&self) -> bool {
        self.reader.coherence.leased(self.shard(), self.space.settings.max_staleness)
    }

    fn now(&self) -> Boot {
        self.reader.coherence.clock().now()
    }
}

fn via(loaded: &Brought, stored: bool) -> Via {
    if loaded.keep == Keep::TooLarge { Via::TooLarge } else { Via::Origin { stored } }
}

fn origin_outcome(fetched: &Result<Fetched, OriginError>) -> OriginOutcome {
    match fetched {
        Ok(Fetched::Loaded(loaded)) if loaded.content == Content::Absent => OriginOutcome::Absent,
        Ok(Fetched::Loaded(_)) => OriginOutcome::Ok,
        Ok(Fetched::NotModified { .. }) => OriginOutcome::NotModified,
        Err(OriginError::TimedOut) => OriginOutcome::Timeout,
        Err(OriginError::Overloaded) => OriginOutcome::Overloaded,
        Err(OriginError::Status(_) | OriginError::Failed(_)) => OriginOutcome::Error,
    }
}
