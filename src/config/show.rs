//! The effective configuration, printed: every key, and where each value that somebody set came from.

use std::fmt;

use super::fault::Place;

/// A key that was read.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The table it is printed in, dotted; `[n]` behind it for the n-th of a list.
    pub(super) table: String,
    /// Its own name.
    pub(super) name: String,
    /// Its whole name where it was set: `defaults.ttl` for `namespaces.users.ttl`.
    pub(super) source: String,
    /// Its value as TOML, secrets hidden; none if it is not set and has no default.
    pub(super) text: Option<String>,
    /// Where it came from.
    pub(super) place: Place,
}

impl Line {
    pub(super) fn key(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// Whether it is `key`, or below it.
    pub(super) fn is_within(&self, key: &str) -> bool {
        let own = self.key();
        own.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

/// The effective configuration. `Display` prints TOML with a comment behind each value that is no default.
#[derive(Clone, Debug)]
pub struct Provenance(pub(super) Vec<Line>);

impl Provenance {
    /// Where a key's value came from; `None` for a key that does not exist.
    pub fn of(&self, key: &str) -> Option<&Place> {
        self.0.iter().find(|line| line.key() == key).map(|line| &line.place)
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tables: Vec<&str> = Vec::new();
        for line in &self.0 {
            if !tables.contains(&line.table.as_str()) {
                tables.push(&line.table);
            }
        }
        for (index, table) in tables.into_iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            let name = without_places(table);
            // A list of tables that is in none, and empty: a comment, which may stand anywhere.
            if table.is_empty() {
                f.write_str(gap)?;
            } else if table.ends_with(']') {
                writeln!(f, "{gap}[[{name}]]")?;
            } else {
                writeln!(f, "{gap}[{name}]")?;
            }
            for line in self.0.iter().filter(|line| line.table == table) {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

/// A table's name, whichever of its list's tables it is in.
fn without_places(table: &str) -> String {
    table.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, text, place, .. } = self;
        match (text, place) {
            (None, _) => write!(f, "# {name} is not set"),
            (Some(text), Place::Default) => write!(f, "{name} = {text}"),
            (Some(text), place) => write!(f, "{name} = {text}  # from {place}"),
        }
    }
}
