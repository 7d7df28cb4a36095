//! The walk over what the layers hold: every key read once, every fault kept, every value with its place.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::Tag;

use super::fault::{Fault, Place};
use super::layers;
use super::section::{Section, Table};
use super::show::Line;

/// What the walk has gathered.
#[derive(Default)]
pub(super) struct Reader {
    figment: figment::Figment,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) faults: Vec<Fault>,
    /// Every key that was read, as it is printed.
    pub(super) lines: Vec<Line>,
    /// Keys whose values are not to be relied upon.
    pub(super) unsound: BTreeSet<String>,
}

impl Reader {
    pub(super) fn new(figment: figment::Figment, variables: BTreeMap<String, String>) -> Self {
        Self { figment, variables, ..Self::default() }
    }

    /// Reads everything.
    pub(super) fn root<T>(&mut self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let table = Table::root(layers::merged(&self.figment));
        Section::read(self, String::new(), vec![table], false, read)
    }

    /// Where a value came from, by its tag.
    pub(super) fn place(&self, tag: Tag) -> Place {
        self.figment.get_metadata(tag).map_or(Place::Default, layers::place)
    }

    /// A fault of several keys together, named by the first that somebody set. Nothing if one of them is at fault
    /// by itself: what it says is not what was meant.
    pub(super) fn clash(&mut self, keys: &[&str], message: impl Into<String>, accepted: impl Into<String>) {
        if keys.iter().any(|key| self.unsound.contains(*key)) {
            return;
        }
        let set = keys.iter().find_map(|key| {
            let inside = |line: &&Line| line.is_within(key) && line.place != Place::Default;
            self.lines.iter().find(inside).map(|line| (line, *key))
        });
        let (key, place) = match set {
            Some((line, key)) if line.key() == key => (line.source.clone(), line.place.clone()),
            Some((line, key)) => (key.to_owned(), line.place.clone()),
            None => (keys[0].to_owned(), Place::Default),
        };
        self.faults.push(Fault { key, place, message: message.into(), accepted: accepted.into() });
    }

    /// Whether somebody set the key, or one below it.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.lines.iter().any(|line| line.is_within(key) && line.place != Place::Default)
    }
}
