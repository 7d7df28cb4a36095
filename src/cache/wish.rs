//! What the read path wishes of whoever refreshes: the terms between this room and `refresh`, which it does not know.

use crate::backend::LoadId;
use crate::model::Key;

/// A key whose copy is to be loaded anew although nobody waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub key: Key,
    /// About how often it was read lately.
    pub heat: u16,
    /// The load behind a copy that is still fresh: only that one is worth refreshing before its time. `None`: the copy
    /// is stale.
    pub ahead: Option<LoadId>,
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wished {
    /// It waits for its turn.
    Taken,
    /// The key waits already, is being refreshed, or was just now.
    Known,
    /// There is no room for it.
    Full,
}

/// One namespace's refreshers.
pub trait Refreshers: Send + Sync {
    /// Takes a wish, without waiting.
    fn wish(&self, wish: Wish) -> Wished;
}
