//! What a flight does: L2, the lease, the origin, and what may be kept of what it brought.
//!
//! The token comes with the lease, before the origin is asked. What the load brings goes to whoever started it in any
//! case, for nothing of it was read before their request; into L2 if the fill is accepted; into L1 with its token,
//! which is checked at every read.

mod copies;
mod keep;
mod origin;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use self::origin::Brought;
use super::answer::{GetError, Via};
use super::copy::Copy;
use super::flight::{Landed, Outcome, Teller};
use super::freshness::Use;
use super::outcome::refresh_outcome;
use super::reader::Reader;
use super::space::Space;
use crate::backend::{BackendError, Found, LoadId, Stored, Token};
use crate::clock::Boot;
use crate::coherence::Ended;
use crate::guard::share_of;
use crate::model::{Keep, Key, Shard};
use crate::mutants;
use crate::origin::OriginError;
use crate::telemetry::labels::LeaseWait;
use crate::telemetry::trace;

/// The longest wait for news of another load before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Beyond what is left of a lease: the server's and this machine's timers.
const LEASE_SLACK: Duration = Duration::from_millis(5);

/// Why a load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Purpose {
    /// A reader has no copy.
    Miss,
    /// A reader wants it afresh, whatever the tiers hold.
    Afresh,
    /// A stale copy was answered; nobody waits.
    Refresh,
}

/// One load of one key.
pub(in crate::cache) struct Load {
    pub(in crate::cache) reader: Arc<Reader>,
    pub(in crate::cache) space: Arc<Space>,
    pub(in crate::cache) key: Key,
    pub(in crate::cache) purpose: Purpose,
    /// The copy at hand that could not be answered: it may still be what L2 or the origin has.
    pub(in crate::cache) held: Option<Arc<Copy>>,
    /// A refresh before the time: the load behind the copy that it is to replace, and no other.
    pub(in crate::cache) ahead: Option<LoadId>,
    pub(in crate::cache) id: LoadId,
    /// What a plain read of L2 has just said, where there was one.
    pub(in crate::cache) peeked: Option<Result<Peeked, BackendError>>,
    /// The span of the request that it is made for.
    pub(in crate::cache) on_behalf: Option<trace::Context>,
}

/// What a plain read of L2 says.
#[derive(Clone, Debug)]
pub(in crate::cache) enum Peeked {
    /// This may be answered.
    Landed(Landed),
    /// There is something else, or it cannot be told.
    Unusable,
    /// There is nothing.
    Absent,
}

impl Load {
    /// Brings an outcome by a deadline, whatever hangs: what has not ended by then is cut off and its lease given up.
    pub(in crate::cache) async fn run(self, teller: &Teller) -> Outcome {
        let settings = &self.space.settings;
        // It waits for another's load, and then makes one of its own.
        let limit = settings.lease + settings.load_max + settings.load_max + settings.backend_max;
        let outcome = timeout(limit, self.fly(teller)).await.unwrap_or_else(|_elapsed| {
            let refreshes = self.purpose == Purpose::Refresh;
            self.reader.supervisor.overran(if refreshes { "cache.refresh" } else { "cache.load" }, limit);
            self.give_back();
            Err(OriginError::TimedOut.into())
        });
        if self.purpose == Purpose::Refresh {
            self.space.metrics.refreshes.of(refresh_outcome(&outcome)).inc();
        }
        outcome
    }

    async fn fly(&self, teller: &Teller) -> Outcome {
        if !self.leased() {
            return self.past_the_copies().await;
        }
        let peeked = match &self.peeked {
            _ if self.purpose != Purpose::Miss => Ok(Peeked::Unusable),
            Some(peeked) => peeked.clone(),
            None => self.peek().await,
        };
        let mut absent = match peeked {
            Ok(Peeked::Landed(landed)) => return Ok(landed),
            Ok(peeked) => matches!(peeked, Peeked::Absent),
            Err(error) => return self.without_backend(&error).await,
        };
        if self.purpose == Purpose::Miss
            && self.space.setbacks.resting(&self.key, self.now())
            && let Some(landed) = self.look_for_stale().await
        {
            return Ok(landed);
        }
        if self.space.settings.lease.is_zero() {
            return self.without_lease(teller).await;
        }
        let began = self.now();
        let patience = self.space.settings.lease + self.space.settings.load_max;
        // A refresh is content with what another instance has loaded since: one before the time is so by naming the
        // copy that it is about.
        let mut even_if_fresh = self.purpose == Purpose::Afresh || self.ahead.is_some();
        let mut have = self.have();
        loop {
            // Registered before asking: the end of another's lease in between is not missed.
            let mut waker = self.reader.coherence.waker(self.space.name(), &self.key);
            let read_began = self.now();
            let claim = self.claim(even_if_fresh, std::mem::take(&mut absent));
            let found = match self.lookup(Some(claim), have.clone()).await {
                Ok(found) => found,
                Err(error) => {
                    self.give_back();
                    return self.without_backend(&error).await;
                }
            };
            let (left, stale) = match found {
                Found::Fresh(stored) => match self.found(&stored, read_began) {
                    Some(landed) => return Ok(landed),
                    // Not readable, or of no use any more: load it again over what is there.
                    None if !even_if_fresh || have.is_some() => {
                        (even_if_fresh, have) = (true, None);
                        continue;
                    }
                    None => return self.past_the_copies().await,
                },
                Found::NotModified(token) => match self.unchanged(&token, read_began) {
                    Some(landed) => return Ok(landed),
                    None if !even_if_fresh || have.is_some() => {
                        (even_if_fresh, have) = (true, None);
                        continue;
                    }
                    None => return self.past_the_copies().await,
                },
                Found::Leased { token, stale } => {
                    return self.under_lease(token, stale, read_began, teller).await;
                }
                Found::Busy { left, stale } => (left, stale),
                Found::Nothing { .. } => return self.past_the_copies().await,
                Found::Doubtful => {
                    if self.purpose == Purpose::Refresh || patience <= self.now().since(began) {
                        return Err(doubtful());
                    }
                    drop(timeout(LOOK_AGAIN / 5, waker.ended()).await);
                    continue;
                }
            };
            if let Some((landed, used)) = self.stale(stale.as_ref(), read_began) {
                if self.purpose == Purpose::Miss && used == Use::Stale {
                    return Ok(landed);
                }
                teller.stale(landed);
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
            // How long the other had held its lease, which began with its load: one that is given up much later was held
            // by an instance that was cut off, and says nothing of the origin.
            let held = self.space.settings.lease.saturating_sub(left) + self.now().since(read_began);
            let load_max = self.space.settings.load_max;
            let all_its_time = load_max <= held + LOOK_AGAIN / 10 && held < load_max + LOOK_AGAIN;
            if ended == Ok(Ended::Empty) && all_its_time {
                // It had all the time that this one would have had: who waits for it ends with it.
                return Err(OriginError::TimedOut.into());
            }
            // Others bring answers that cannot be shared, each in its time: waiting for the next would be in vain.
            let in_vain = ended == Ok(Ended::Empty) && load_max <= waited;
            if in_vain || patience <= waited {
                self.reader.count_wait(LeaseWait::TimedOut);
                return self.past_the_copies().await;
            }
        }
    }

    /// The lease is ours, and L2 was asked for it from `asked` on: ask the origin, store, and give the lease back in any
    /// case.
    async fn under_lease(
        &self,
        token: Token,
        stale: Option<Stored>,
        asked: Boot,
        teller: &Teller,
    ) -> Outcome {
        let read_began = self.now();
        let shared_from = self.shared_from(asked, read_began);
        let found = self.stale(stale.as_ref(), asked).map(|(landed, _)| landed);
        if let Some(landed) = found.clone() {
            teller.stale(landed);
        }
        let kept =
            stale.as_ref().and_then(|stored| self.copy(stored, read_began)).or_else(|| self.held.clone());
        match self.ask(kept.as_deref()).await {
            Ok(loaded) => {
                let (token, leased) = if mutants::TOKEN_AT_END {
                    (self.token_at_end(token).await, false)
                } else {
                    (token, true)
                };
                let copy = self.loaded(&loaded, Some(&token), read_began);
                if !self.keeps(&loaded) || copy.left(self.now()).is_zero() {
                    self.release().await;
                    return Ok(Landed { copy, via: via(&loaded, false), read_began: shared_from });
                }
                let stored = self.fill(&copy, &loaded, token, leased).await;
                Ok(self.land(copy, via(&loaded, stored), shared_from))
            }
            Err(error) => {
                self.set_back(found.as_ref());
                self.release().await;
                Err(error.into())
            }
        }
    }

    /// One load per instance: the token is the head, asked for before the origin.
    async fn without_lease(&self, teller: &Teller) -> Outcome {
        let asked = self.now();
        if self.space.settings.written
            && let Some(landed) = self.pending_write().await?
        {
            return Ok(landed);
        }
        let token = match self.reader.backend.head(self.shard()).await {
            Ok(token) => token,
            Err(error) => return self.without_backend(&error).await,
        };
        let read_began = self.now();
        let loaded = match self.ask(self.held.as_deref()).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let found = self.look_for_stale().await;
                self.set_back(found.as_ref());
                if let Some(landed) = found {
                    teller.stale(landed);
                }
                return Err(error.into());
            }
        };
        let copy = self.loaded(&loaded, Some(&token), read_began);
        let shared_from = self.shared_from(asked, read_began);
        if !self.keeps(&loaded) || copy.left(self.now()).is_zero() {
            return Ok(Landed { copy, via: via(&loaded, false), read_began: shared_from });
        }
        let stored = self.fill(&copy, &loaded, token, false).await;
        Ok(self.land(copy, via(&loaded, stored), shared_from))
    }

    /// From when on nothing of a load was read, for those who join it. That L2 has no write for the origin is part of it
    /// where there may be one: what the origin is asked for afterwards does not show what was accepted in between.
    fn shared_from(&self, asked: Boot, read_began: Boot) -> Boot {
        if self.space.settings.written { asked } else { read_began }
    }

    /// What L2 has for a failing origin. A load under a lease was told with the lease.
    async fn look_for_stale(&self) -> Option<Landed> {
        let read_began = self.now();
        match self.lookup(None, None).await.ok()? {
            Found::Nothing { stale } | Found::Busy { stale, .. } => {
                self.stale(stale.as_ref(), read_began).map(|(landed, _)| landed)
            }
            _ => None,
        }
    }

    /// The origin has failed. Where a stale copy is answered in its place it is not asked again at once.
    fn set_back(&self, found: Option<&Landed>) {
        let held = self.held.as_deref().and_then(|held| self.usable(held));
        let stale = found.is_some() || matches!(held, Some(Use::Stale | Use::OnError));
        if stale || self.purpose == Purpose::Refresh {
            let share = share_of(&self.reader.instance, &self.key, self.now());
            self.space.setbacks.failed(&self.key, self.now(), share);
        }
    }

    async fn without_backend(&self, error: &BackendError) -> Outcome {
        debug!(error = %error, "L2 was not asked, going to the origin");
        self.past_the_copies().await
    }

    /// To the origin, keeping nothing: there is no token to keep it under. What is pending for the origin is not there.
    async fn past_the_copies(&self) -> Outcome {
        if self.space.settings.behind && !self.space.settings.available {
            let why = "without the log and L2 nobody knows which writes the origin does not have yet";
            return Err(GetError::Unavailable(why.to_owned()));
        }
        let read_began = self.now();
        let loaded = self.ask(None).await?;
        let copy = self.loaded(&loaded, None, read_began);
        let via = if loaded.keep == Keep::TooLarge { Via::TooLarge } else { Via::Bypass };
        Ok(Landed { copy, via, read_began })
    }

    /// What [`mutants::TOKEN_AT_END`] fills under, once its lease is given up.
    async fn token_at_end(&self, token: Token) -> Token {
        self.release().await;
        self.reader.backend.head(self.shard()).await.unwrap_or(token)
    }

    fn shard(&self) -> Shard {
        self.reader.coherence.shard_of(self.space.name(), &self.key)
    }

    pub(in crate::cache) fn leased(&self) -> bool {
        self.reader.coherence.leased(self.shard(), self.space.settings.max_staleness)
    }

    fn now(&self) -> Boot {
        self.reader.coherence.clock().now()
    }
}

/// What the origin has may be older than the write, and the write older than one that was lost.
pub(super) fn doubtful() -> GetError {
    GetError::Unavailable(
        "Valkey came back with less than it held, and a write is pending that may be outdated".to_owned(),
    )
}

fn via(loaded: &Brought, stored: bool) -> Via {
    if loaded.keep == Keep::TooLarge { Via::TooLarge } else { Via::Origin { stored } }
}
