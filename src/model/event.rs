//! An invalidation: what is no longer true. It carries no value; who hears it reads afresh.

use super::text::{Key, Namespace, Prefix, Tag};
use super::trace::TraceParent;

/// What an event names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One key.
    Key(Namespace, Key),
    /// Every key that begins so. On a boundary (`/`, `:`), see [`super::widen`].
    Prefix(Namespace, Prefix),
    /// Every key of a namespace.
    Namespace(Namespace),
    /// Every value that carries the tag, in all namespaces.
    Tag(Tag),
    /// Everything in the cluster.
    All,
}

/// What becomes of copies older than the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hardness {
    /// They are never answered again.
    Hard,
    /// They are stale: answered while a load runs, where the namespace allows stale answers.
    Soft,
}

/// Who says so, for logs and the tail. Free text, bounded by the parser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The publisher's name for itself.
    pub source: String,
    /// Why.
    pub reason: String,
    /// The work that it was published by, as the publisher traces it.
    pub trace: Option<TraceParent>,
}

/// An invalidation, checked: at least one target, at most [`Event::TARGETS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What is no longer true.
    pub targets: Vec<Target>,
    /// What becomes of older copies.
    pub hardness: Hardness,
    /// Who says so.
    pub provenance: Provenance,
    /// Seen again within a minute, the first event's id is the answer and nothing is logged.
    pub request_id: Option<String>,
}

impl Event {
    /// Most targets in one event.
    pub const TARGETS_MAX: usize = 1000;
    /// Longest `source`, `reason` and `request_id`, in bytes.
    pub const TEXT_BYTES_MAX: usize = 256;

    /// A hard event without provenance.
    pub fn hard(targets: Vec<Target>) -> Self {
        Self { targets, hardness: Hardness::Hard, provenance: Provenance::default(), request_id: None }
    }
}
