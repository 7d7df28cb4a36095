//! What a member says of the lineage it followed, when the server is another one.

use crate::model::{Event, LineageId, Seq};

/// A member's word on the lineage that it followed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// Who, as among the [`super::Member`]s.
    pub instance: String,
    /// The lineage.
    pub lineage: LineageId,
    /// The last of its events that it has applied.
    pub seen: Seq,
    /// What it remembers; `None` asks only where the server's own memory ends.
    pub told: Option<Told>,
}

/// Events, as far as they are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Those after the last one that the server has, oldest first.
    pub events: Vec<(Seq, Event)>,
    /// They are all that were applied.
    pub whole: bool,
}

/// What is known of the entries that were stored in a lineage before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Nobody asks: it is not the lineage before, or entries are not kept at all.
    None,
    /// The server has its events up to this one, and wants to hear of the others.
    Wanted(Seq),
    /// Others have yet to be heard.
    Waits,
    /// Nothing is lost: entries count as before.
    Kept,
    /// Something may be lost: no entry of before counts.
    Refused,
}
