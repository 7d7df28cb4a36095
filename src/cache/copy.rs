//! A copy: what a tier or a load brought, with what it takes to judge it at any later moment.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Entry;
use crate::backend::LoadId;
use crate::clock::Boot;
use crate::coherence::core::{Slots, Stamp};
use crate::model::{Content, Name, Seq};

/// moka's own bytes for an entry with an expiry, measured.
const MOKA: usize = 480;
/// Beside the two structs a copy is of some eight pieces: what the counts of an `Arc` and the allocator add to them.
const PIECES: usize = 8 * 16;

/// A copy of one key's entry.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) entry: Arc<Entry>,
    /// What it is at least as new as; `None` where that is not known in the history followed now: it answers the
    /// request it was loaded for, and no other.
    pub(super) stamp: Option<Stamp>,
    /// The names that cover it, as places in the watermark table.
    pub(super) slots: Slots,
    /// Those of them that are not the key's own: a copy that the origin says still stands keeps them.
    pub(super) names: Box<[Name]>,
    /// The load behind it.
    pub(super) load: LoadId,
    /// How long that load took.
    pub(super) load_time: Duration,
    /// When its load began, less the age it had by then.
    pub(super) born: Boot,
    /// A write that the origin does not have yet.
    pub(super) dirty: bool,
    /// The last event that the origin's replica may not have seen when it was loaded.
    pub(super) unseen: Option<Seq>,
}

impl Copy {
    /// How old it is.
    pub(super) fn age(&self, now: Boot) -> Duration {
        now.since(self.born)
    }

    /// How much longer it is of any use.
    pub(super) fn left(&self, now: Boot) -> Duration {
        self.entry.lifetime.kept().saturating_sub(self.age(now))
    }

    /// Whether it takes the place of one that is held: not where that one is newer by its stamp and no older by its
    /// load. A slow load never replaces what a faster one brought.
    pub(super) fn replaces(&self, held: &Self) -> bool {
        let Some(stamp) = self.stamp else { return false };
        let behind = held.stamp.is_some_and(|held| stamp.same_history(held) && stamp.seq() < held.seq());
        !behind || held.born < self.born
    }

    /// What it weighs in L1, in bytes, with a key of so many.
    pub(super) fn weight(&self, key_bytes: usize) -> u32 {
        let value = match &self.entry.content {
            Content::Present(value) => {
                let text = |it: &Option<Arc<str>>| it.as_ref().map_or(0, |text| text.len());
                value.body.len() + text(&value.content_type) + text(&value.etag) + text(&value.last_modified)
            }
            Content::Absent => 0,
        };
        let names: usize = self.names.iter().map(|name| size_of::<Name>() + name.as_str().len()).sum();
        let own = MOKA + size_of::<Self>() + size_of::<Entry>() + PIECES;
        let bytes = own + key_bytes + value + names + self.slots.heap_bytes() + self.load.0.len();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}
