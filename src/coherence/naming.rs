//! The last event that named something: what `/v1/explain` shows.
//!
//! The watermarks say where in the log it is at the latest, for names may share a place; the log itself says which it is.

use std::time::Duration;

use super::Path;
use super::core::{Slots, name_of};
use super::face::Coherence;
use crate::backend::{BackendError, Logged};
use crate::model::{Event, Hardness, Name, Seq, Shard, Target};

/// Events read at once.
const PAGE: usize = 500;
/// How far back is looked, in events.
const EVENTS_MAX: u64 = 10_000;

/// What was found in the log.
#[derive(Clone, Debug)]
pub struct Search {
    /// The last event that named one of the names.
    pub named: Option<Named>,
    /// No later event did from this one on.
    pub since: Seq,
}

/// An event that named one of the names that were asked about.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its number.
    pub seq: Seq,
    /// What it says.
    pub event: Event,
    /// When it was logged, in milliseconds since 1970 by the server's clock.
    pub at_ms: u64,
    /// Those of its targets that concern the names.
    pub by: Vec<Target>,
    /// By which way it came here and how long after it was logged; `None` if that is too long ago, or if it had been
    /// logged before this instance followed the log.
    pub came: Option<(Path, Duration)>,
}

/// Which event was the first to name something after another one.
#[derive(Clone, Debug)]
pub enum Firsts {
    /// None did.
    None,
    /// This one.
    Event(Box<Logged>),
    /// The log does not say: it was trimmed, or there are too many.
    Unknown,
}

impl Coherence {
    /// The first hard event after `after` that named one of `names`, or everything, by what the log itself says; looks
    /// through at most 10,000.
    pub async fn first_after(
        &self,
        shard: Shard,
        names: &[Name],
        after: Seq,
    ) -> Result<Firsts, BackendError> {
        let named = |logged: &Logged| {
            logged.event.hardness == Hardness::Hard
                && logged.event.targets.iter().any(|target| concerns(target, names))
        };
        let mut last = after;
        while last - after < EVENTS_MAX {
            let page = self.backend().read_log(shard, last, PAGE).await?;
            let Some(end) = page.last().map(|logged| logged.seq) else { return Ok(Firsts::None) };
            if page.first().is_some_and(|first| first.seq != last + 1) {
                return Ok(Firsts::Unknown);
            }
            let whole = page.len() == PAGE;
            if let Some(logged) = page.into_iter().find(named) {
                return Ok(Firsts::Event(Box::new(logged)));
            }
            if !whole {
                return Ok(Firsts::None);
            }
            last = end;
        }
        Ok(Firsts::Unknown)
    }

    /// Whether a hard event after `after` may have named one of `names`, by the watermarks: names may share a place.
    pub fn may_be_named_after(&self, shard: Shard, names: &[Name], after: Seq) -> bool {
        after < self.shard(shard).view.newest(&Slots::of(names)).0
    }

    /// Looks for the last applied event that named one of `names`, or everything: as far back as the log goes, at the
    /// most 10,000 events before the last that may have.
    pub async fn last_naming(&self, shard: Shard, names: &[Name]) -> Result<Search, BackendError> {
        let state = self.shard(shard);
        let (hard, soft) = state.view.newest(&Slots::of(names));
        let mut to = hard.max(soft).min(state.view.cursor());
        let end = to.saturating_sub(EVENTS_MAX);
        let named = |logged: &Logged| logged.event.targets.iter().any(|target| concerns(target, names));
        while end < to {
            let after = to.saturating_sub(PAGE as u64).max(end);
            let page = self.backend().read_log(shard, after, PAGE).await?;
            let first = page.first().map_or(to, |logged| logged.seq);
            if let Some(logged) = page.into_iter().rfind(|logged| logged.seq <= to && named(logged)) {
                let Logged { seq, event, at_us, .. } = logged;
                let by = event.targets.iter().filter(|target| concerns(target, names)).cloned().collect();
                let came = state.came.of(seq);
                return Ok(Search {
                    named: Some(Named { seq, event, at_ms: at_us / 1000, by, came }),
                    since: seq,
                });
            }
            if first != after + 1 {
                // What lies before was trimmed.
                return Ok(Search { named: None, since: first });
            }
            to = after;
        }
        Ok(Search { named: None, since: to + 1 })
    }
}

fn concerns(target: &Target, names: &[Name]) -> bool {
    name_of(target).is_none_or(|name| names.contains(&name))
}
