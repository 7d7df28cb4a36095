//! A copy: what a tier or a load brought, with what it takes to judge it at any later moment.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Entry;
use super::loader::{Loader, Number};
use crate::clock::Boot;
use crate::coherence::core::{Slots, Stamp};
use crate::model::{Content, Name};

/// moka's own bytes for an entry with an expiry, about 380, and an estimate of what the heap cannot use again where entries
/// come and go.
const MOKA: usize = 600;
/// The two counts of an `Arc`, and what `Bytes` needs to be shared.
const COUNTS: usize = 16;
const SHARED: usize = 24;

/// Bytes that an allocation of so many takes: mimalloc has four sizes between two powers of two, and none between sixteens.
fn piece(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(step)
}

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
    pub(super) load: Loader,
    /// How long that load took.
    pub(super) load_time: LoadTime,
    /// When its load began, less the age it had by then.
    pub(super) born: Boot,
    /// A write that the origin does not have yet.
    pub(super) dirty: bool,
    /// The last event that the origin's replica may not have seen when it was loaded.
    pub(super) unseen: Option<Number>,
}

/// How long a load took, to the microsecond; beyond an hour it does not matter how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LoadTime(u32);

impl From<Duration> for LoadTime {
    fn from(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
    }
}

impl From<LoadTime> for Duration {
    fn from(time: LoadTime) -> Self {
        Self::from_micros(time.0.into())
    }
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

    /// What it weighs in L1, in bytes as the allocator counts them, with a key of so many.
    pub(super) fn weight(&self, key_bytes: usize) -> u32 {
        let value = match &self.entry.content {
            Content::Present(value) => {
                // The content type is one that others have, too.
                let text = |it: &Option<Arc<str>>| it.as_ref().map_or(0, |text| piece(COUNTS + text.len()));
                piece(value.body.len()) + piece(SHARED) + text(&value.etag) + text(&value.last_modified)
            }
            Content::Absent => 0,
        };
        let names: usize = self.names.iter().map(|name| piece(name.as_str().len())).sum();
        let names = names + piece(size_of_val(&*self.names)) + piece(self.slots.heap_bytes());
        let own = MOKA + piece(COUNTS + size_of::<Self>()) + piece(COUNTS + size_of::<Entry>());
        let bytes = own + piece(COUNTS + key_bytes) + value + names;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}
