//! Why a key is answered as it is: `/v1/explain`. It looks everywhere and changes nothing: no lease is taken, no copy is
//! kept, nothing counts as a read.

mod event;
mod tier;
mod verdict;

use std::sync::Arc;

use serde::Serialize;

use self::event::Invalidation;
use self::tier::Tier;
use self::verdict::{Facts, Loader, Verdict};
use super::Cache;
use super::copy::Copy;
use super::freshness::Use;
use super::load::Purpose;
use super::reader::Reader;
use super::space::Space;
use crate::backend::{BackendError, Found, Lookup};
use crate::model::{Key, LogId, Name, Seq, covering};

/// What an instance knows of a key, and what it would answer to a plain GET now.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// `instance.id` of who says so.
    pub instance: String,
    /// The namespace.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// The shard of the log and of L2 that the key belongs to.
    pub shard: u16,
    /// The instance has proof, young enough for the namespace, that it has seen the log.
    pub attached: bool,
    /// The last event of the shard that it has applied.
    pub cursor: String,
    /// What a GET would answer now, and why.
    pub answer: Verdict,
    /// The copy in this process.
    pub l1: Option<Tier>,
    /// The entry in Valkey.
    pub l2: Option<Tier>,
    /// The lease to load it.
    pub lease: Option<Lease>,
    /// The number of a write that the origin does not have yet.
    pub pending_write: Option<Seq>,
    /// The last event that named the key, or what covers the copies above.
    pub last_invalidation: Option<Invalidation>,
    /// Since this event no later one than `last_invalidation` did; what lies before it was not looked at.
    pub searched_since: Option<String>,
    /// What could not be asked, and why.
    pub unknown: Vec<String>,
}

/// Who may load.
#[derive(Debug, Serialize)]
pub struct Lease {
    /// `instance.id` of the holder.
    pub instance: Option<String>,
    /// The load.
    pub load: String,
    /// For how much longer at the most, in seconds.
    pub left_s: f64,
}

impl Cache {
    /// Explains a key; `None` for a namespace that is not configured.
    pub async fn explain(&self, namespace: &str, key: &Key) -> Option<Explanation> {
        Some(self.reader.explain(self.reader.spaces.get(namespace)?, key).await)
    }
}

/// What L2 itself says of its entry: it knows every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proven {
    Fresh,
    /// Time or a soft event has made it stale.
    Stale,
    /// There is none, or a hard event or a new history has made it void.
    No,
    /// A pending write that may be outdated.
    Doubtful,
}

impl Reader {
    async fn explain(self: &Arc<Self>, space: &Arc<Space>, key: &Key) -> Explanation {
        let shard = self.coherence.shard_of(space.name(), key);
        let entry = space.entry(key);
        let mut unknown = Vec::new();

        let l1 = space.l1.get(key);
        let load = self.load(space, key, Purpose::Miss, None);
        let stored = noted(&mut unknown, "l2", self.backend.peek(std::slice::from_ref(&entry)).await);
        let stored = stored.and_then(|found| found.into_iter().next().flatten());
        let lookup =
            Lookup { entry: entry.clone(), covering: covering(space.name(), key), claim: None, have: None };
        let proven = noted(&mut unknown, "l2", self.backend.lookup(lookup).await).map(|found| match found {
            Found::Fresh(_) | Found::NotModified(_) => Proven::Fresh,
            Found::Doubtful => Proven::Doubtful,
            Found::Leased { stale, .. } | Found::Busy { stale, .. } | Found::Nothing { stale } => {
                if stale.is_some() { Proven::Stale } else { Proven::No }
            }
        });
        let lease = noted(&mut unknown, "lease", self.backend.lease(&entry).await).flatten();
        let l2 = stored.as_ref().and_then(|stored| load.copy(stored, self.now()));
        let pending_write = stored.as_ref().and_then(|stored| stored.dirty);

        let names = names_of(space, key, [l1.as_deref(), l2.as_deref()]);
        let search = noted(&mut unknown, "log", self.coherence.last_naming(shard, &names).await);
        let (last_invalidation, since) =
            search.map_or((None, None), |search| (search.named, Some(search.since)));
        let id = |seq: Seq| LogId::new(vec![(shard, seq)]).to_string();

        let used = |copy: &Copy| load.usable(copy);
        let facts = Facts {
            leased: self.coherence.leased(shard, space.settings.max_staleness),
            l1: l1.as_deref().and_then(used),
            l2: l2.as_deref().and_then(used),
            dirty: pending_write.is_some(),
            behind: space.settings.behind && !space.settings.available,
            proven,
            busy: lease.is_some() && !space.settings.lease.is_zero(),
            resting: space.setbacks.resting(key, self.now()),
            loader: space.settings.origin.as_ref().map_or(Loader::Application, |origin| {
                origin.left_alone().map_or(Loader::Origin, Loader::LeftAlone)
            }),
            soft_timeout: space.settings.soft_timeout,
        };
        Explanation {
            instance: self.instance.clone(),
            namespace: space.name().to_string(),
            key: key.to_string(),
            shard: shard.0,
            attached: facts.leased,
            cursor: id(self.coherence.place(shard).map_or(0, |place| place.seq)),
            answer: facts.verdict(),
            l1: l1.as_deref().map(|copy| self.tier(space, shard, copy, facts.l1, None)),
            l2: l2.as_deref().map(|copy| self.tier(space, shard, copy, facts.l2, proven)),
            lease: lease.map(|(load, left)| Lease {
                instance: load.instance().map(str::to_owned),
                load: load.0.to_string(),
                left_s: left.as_secs_f64(),
            }),
            pending_write,
            last_invalidation: last_invalidation.map(|named| Invalidation::of(shard, &named)),
            searched_since: since.map(id),
            unknown,
        }
    }
}

/// The names that cover the key, whatever its value, and those of its copies.
fn names_of(space: &Space, key: &Key, copies: [Option<&Copy>; 2]) -> Vec<Name> {
    let mut names = covering(space.name(), key);
    names.extend(space.names(key, &[]));
    names.extend(copies.into_iter().flatten().flat_map(|copy| copy.names.iter().cloned()));
    names.sort_unstable();
    names.dedup();
    names
}

/// The answer, or a line that says why there is none.
fn noted<T>(unknown: &mut Vec<String>, what: &str, answer: Result<T, BackendError>) -> Option<T> {
    answer.map_err(|error| unknown.push(format!("{what}: {error}"))).ok()
}

/// What a copy may be used for, in a word.
fn word(used: Option<Use>) -> &'static str {
    match used {
        Some(Use::Fresh) => "fresh",
        Some(Use::Unproven) => "unproven",
        Some(Use::Stale) => "stale",
        Some(Use::OnError) => "on_error",
        Some(Use::No) | None => "no",
    }
}
