//! What a worker has in hand: writes on their way to their origins, one of a key at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::backend::{EntryId, Line, Pending, Settled};

/// How a write ended.
pub(super) type Ended = (Line, Settled);

/// A bounded number of writes under way.
pub(super) struct Hand {
    max: usize,
    /// By their ids.
    lines: HashMap<String, Line>,
    /// Keys under way, and a newer write of each that waits for the older one to end.
    keys: HashMap<EntryId, Option<Pending>>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
}

impl Hand {
    pub(super) fn new(max: usize) -> Self {
        Self { max, lines: HashMap::new(), keys: HashMap::new(), under_way: FuturesUnordered::new() }
    }

    /// How many more it may hold.
    pub(super) fn room(&self) -> usize {
        self.max.saturating_sub(self.lines.len())
    }

    /// Whether it is worth it to take more: a few at least, unless it is small.
    pub(super) fn has_room(&self) -> bool {
        self.max.div_ceil(8) <= self.room()
    }

    /// Whether anything is on its way.
    pub(super) fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Every line in hand. What is under way is given up.
    pub(super) fn lines(self) -> Vec<Line> {
        self.lines.into_values().collect()
    }

    /// Takes a write in hand, unless it is there already. One that waited for the same key is superseded and given back.
    pub(super) fn take(
        &mut self,
        pending: Pending,
        begin: impl FnOnce(Pending) -> BoxFuture<'static, Ended>,
    ) -> Option<Line> {
        let id = pending.line.id.clone();
        if self.lines.contains_key(&id) {
            return None;
        }
        self.lines.insert(id, pending.line.clone());
        match self.keys.entry(pending.line.entry.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(None);
                self.under_way.push(begin(pending));
                None
            }
            Entry::Occupied(mut occupied) => {
                let older = occupied.get_mut().replace(pending)?;
                self.lines.remove(&older.line.id);
                Some(older.line)
            }
        }
    }

    /// The next that has ended; never, if there is none.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.under_way.next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// It is settled: the newer write of its key may begin.
    pub(super) fn settled(&mut self, line: &Line, begin: impl FnOnce(Pending) -> BoxFuture<'static, Ended>) {
        self.lines.remove(&line.id);
        if let Some(Some(next)) = self.keys.remove(&line.entry) {
            self.keys.insert(line.entry.clone(), None);
            self.under_way.push(begin(next));
        }
    }
}
