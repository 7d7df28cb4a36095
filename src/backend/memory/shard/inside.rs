//! What a shard holds, for the explorer to tell one state from another.

use super::{ShardState, Standing, lease_place, place};
use crate::backend::{EntryId, LoadId, Logged, Member, Stored, Token};
use crate::model::{LineageId, Name, Nonce, Seq};

impl ShardState {
    /// The lineage, if one has begun, with the last event's number and nonce.
    pub(crate) fn place(&self) -> (Option<&(LineageId, Nonce)>, Seq) {
        (self.lineage.as_ref(), self.seq)
    }

    /// The log as it is.
    pub(crate) fn log(&self) -> impl Iterator<Item = &Logged> {
        self.log.iter()
    }

    /// The newest hard event that named `name`.
    pub(crate) fn mark_of(&self, name: &Name) -> Seq {
        self.marks.newest(name)
    }

    /// An entry as it is stored.
    pub(crate) fn entry(&self, now: u64, entry: &EntryId) -> Option<&Stored> {
        self.entries.get(now, &place(entry)).map(|item| &item.value.stored)
    }

    /// Whether a lookup would answer with an entry as fresh.
    pub(crate) fn has_fresh(&self, now: u64, entry: &EntryId, covering: &[Name]) -> bool {
        let (Some((current, _)), Some(item)) = (&self.lineage, self.entries.get(now, &place(entry))) else {
            return false;
        };
        self.standing(now, current, &item.value, covering) == Standing::Fresh
    }

    /// Who holds the lease of an entry's key.
    pub(crate) fn lease(&self, now: u64, entry: &EntryId) -> Option<(&LoadId, &Token)> {
        self.leases.holder(now, &lease_place(entry))
    }

    /// The members as they are.
    pub(crate) fn each_member(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The place that a `request_id` was given.
    pub(crate) fn request(&self, now: u64, id: &str) -> Option<&Token> {
        self.requests.get(now, &id.to_owned()).map(|item| &item.value)
    }
}
