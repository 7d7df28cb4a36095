//! A copy as `/v1/explain` shows it.

use std::time::Duration;

use serde::Serialize;

use super::{Proven, word};
use crate::cache::copy::Copy;
use crate::cache::freshness::Use;
use crate::cache::reader::Reader;
use crate::cache::space::Space;
use crate::coherence::core::Standing;
use crate::model::{Content, LogId, Shard};

/// What one tier holds of the key.
#[derive(Debug, Serialize)]
pub struct Tier {
    /// `value`, or `absent`: the origin has none.
    pub holds: &'static str,
    /// Bytes of the value.
    pub bytes: usize,
    /// Of the value, if it has one.
    pub etag: Option<String>,
    /// The last event that the value has seen; `None` if it is of another history than the one followed now.
    pub stamp: Option<String>,
    /// What is known against it: `valid`, `soft` (a soft event made it stale), `invalid` (a hard event, or another
    /// history). Of L2 also `stale` by time.
    pub standing: &'static str,
    /// What this instance may use it for: `fresh`, `stale` (it is answered and refreshed), `on_error` (it is answered if
    /// the origin fails), `unproven` (`coherence = "available"`), `no`.
    pub usable: &'static str,
    /// Time since its load began and the age it had then, in seconds.
    pub age_s: f64,
    /// How much longer it is fresh, in seconds; 0 when it is not.
    pub ttl_s: f64,
    /// How much longer it is kept at all, fresh or stale, in seconds.
    pub kept_s: f64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Keys that it depends on, as `NAMESPACE/KEY`.
    pub depends_on: Vec<String>,
    /// Who loaded it.
    pub loaded_by: Loaded,
}

/// The load behind a copy.
#[derive(Debug, Serialize)]
pub struct Loaded {
    /// `instance.id`.
    pub instance: Option<String>,
    /// The load.
    pub load: String,
    /// How long it took, in seconds.
    pub took_s: f64,
}

impl Reader {
    pub(super) fn tier(
        &self,
        space: &Space,
        shard: Shard,
        copy: &Copy,
        used: Option<Use>,
        proven: Option<Proven>,
    ) -> Tier {
        let (now, load) = (self.now(), copy.load.id());
        let (holds, bytes, etag) = match &copy.entry.content {
            Content::Present(value) => ("value", value.body.len(), value.etag.as_deref().map(str::to_owned)),
            Content::Absent => ("absent", 0, None),
        };
        let known = self.judge(space, shard, copy, now).map(|judgement| judgement.standing);
        // L2 has seen every event, this instance those that it has applied.
        let standing = match (proven, known) {
            (Some(Proven::Fresh), _) | (None, Some(Standing::Valid)) => "valid",
            (Some(Proven::Stale) | None, Some(Standing::Soft)) => "soft",
            (Some(Proven::Stale), _) => "stale",
            (Some(Proven::Doubtful), _) => "doubtful",
            (Some(Proven::No), _) | (None, Some(Standing::Invalid) | None) => "invalid",
        };
        let names = |mark: &str| {
            let of = copy.names.iter().filter_map(|name| name.as_str().strip_prefix(mark));
            of.map(str::to_owned).collect()
        };
        Tier {
            holds,
            bytes,
            etag,
            stamp: copy.stamp.map(|stamp| LogId::new(vec![(shard, stamp.seq())]).to_string()),
            standing,
            usable: word(used),
            age_s: copy.age(now).as_secs_f64(),
            ttl_s: copy.entry.lifetime.fresh.saturating_sub(copy.age(now)).as_secs_f64(),
            kept_s: copy.left(now).as_secs_f64(),
            tags: names("t/"),
            depends_on: names("k/"),
            loaded_by: Loaded {
                instance: load.instance().map(str::to_owned),
                load: load.0.to_string(),
                took_s: Duration::from(copy.load_time).as_secs_f64(),
            },
        }
    }
}
