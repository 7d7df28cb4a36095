//! One table of the configuration: what it falls back to, which keys it has, and which nobody knows.

mod field;

pub(in crate::config) use field::Field;

use std::collections::{BTreeMap, BTreeSet};

use figment::value::{Dict, Tag, Value};

use super::fault::{Fault, Place};
use super::reader::Reader;
use super::secret::Secret;
use super::show::Line;

/// A table under one path: the own one, then those that it falls back to.
pub(in crate::config) struct Section<'r> {
    reader: &'r mut Reader,
    /// What its keys are called and printed as.
    path: String,
    tables: Vec<Table>,
    known: Vec<&'static str>,
    /// Known keys that do not apply here; a table to fall back to may hold them for others.
    inapplicable: Vec<&'static str>,
    /// `[defaults]` by itself: what is required may be missing.
    partial: bool,
}

/// A table as the layers hold it.
#[derive(Clone)]
pub(in crate::config) struct Table {
    path: String,
    dict: Dict,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The one that is named.
    Own,
    /// `[defaults]`: holds keys for namespaces of all kinds.
    Shared,
    /// Another section's, from which one key is taken.
    Borrowed,
}

impl Table {
    pub(in crate::config) fn root(dict: Dict) -> Self {
        Self { path: String::new(), dict, role: Role::Own }
    }
}

impl<'r> Section<'r> {
    /// Reads one section, and finds the keys that nobody asked for.
    pub(in crate::config) fn read<T>(
        reader: &'r mut Reader,
        path: String,
        tables: Vec<Table>,
        partial: bool,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (known, inapplicable) = (Vec::new(), Vec::new());
        let mut section = Self { reader, path, tables, known, inapplicable, partial };
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    pub(in crate::config) fn field<'s>(&'s mut self, name: &'static str) -> Field<'s, 'r> {
        self.known.push(name);
        Field { section: self, name }
    }

    /// Keys that other kinds of this section have.
    pub(in crate::config) fn of_other_kinds(&mut self, names: &[&'static str]) {
        self.inapplicable.extend_from_slice(names);
    }

    /// The content of the variable that `key` names.
    pub(in crate::config) fn secret_of(&mut self, key: &str, variable: &str) -> Secret {
        let content = self.reader.variables.get(variable).filter(|content| !content.is_empty());
        if let Some(content) = content {
            return Secret::from(content.clone());
        }
        let path = self.at(key);
        if !variable.is_empty() {
            let message = format!("the environment variable `{variable}` is not set, or empty");
            self.reader.clash(&[&path], message, "a variable that is set");
        }
        Secret::from(String::new())
    }

    /// Two keys that say the same thing must not both be set.
    pub(in crate::config) fn exclusive(&mut self, names: &[&str; 2]) {
        let [first, second] = names.map(|name| self.at(name));
        if self.reader.is_set(&first) && self.reader.is_set(&second) {
            self.reader.clash(
                &[&first, &second],
                format!("`{second}` says the same thing"),
                "one of the two",
            );
        }
    }

    /// Every entry of the table `name`, each a table that falls back to `[shared]`, and for the key `borrowed` to
    /// the section of that name.
    pub(in crate::config) fn map<T>(
        &mut self,
        name: &'static str,
        shared: &'static str,
        borrowed: (&str, &str),
        check: impl Fn(&str) -> Result<(), String>,
        read: impl Fn(&mut Section<'_>) -> T,
    ) -> BTreeMap<String, T> {
        let mut lent = self.subtables(borrowed.0);
        for table in &mut lent {
            table.role = Role::Borrowed;
            table.dict.retain(|key, _| key == borrowed.1);
        }
        let mut defaults = self.subtables(shared);
        for table in &mut defaults {
            table.role = Role::Shared;
        }
        self.known.extend([name, shared]);
        let fallbacks = [defaults, lent].concat();

        let lines = self.reader.lines.len();
        Section::read(self.reader, shared.to_owned(), fallbacks.clone(), true, &read);
        let mut entries = BTreeMap::new();
        let own = self.subtables(name);
        let names: BTreeSet<String> = own.iter().flat_map(|table| table.dict.keys().cloned()).collect();
        if !names.is_empty() {
            // What a namespace falls back to is shown with the namespace.
            self.reader.lines.truncate(lines);
        }
        for entry in names {
            let path = join(&self.at(name), &entry);
            if let Err(message) = check(&entry) {
                let value = own.iter().find_map(|table| table.dict.get(&entry));
                let place = value.map_or(Place::Default, |value| self.reader.place(leaf(value)));
                let accepted = "1 to 64 of a-z, 0-9, `_` and `-`".to_owned();
                self.reader.faults.push(Fault { key: path.clone(), place, message, accepted });
            }
            let mut tables = self.tables_in(&own, &entry);
            tables.extend_from_slice(&fallbacks);
            let value = Section::read(self.reader, path, tables, false, &read);
            entries.insert(entry, value);
        }
        entries
    }

    fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// The tables called `name` in this section's tables. Anything else of that name is a fault.
    fn subtables(&mut self, name: &str) -> Vec<Table> {
        let tables = self.tables.clone();
        self.tables_in(&tables, name)
    }

    fn tables_in(&mut self, tables: &[Table], name: &str) -> Vec<Table> {
        let mut found = Vec::new();
        for Table { path, dict, role } in tables {
            let path = join(path, name);
            match dict.get(name) {
                None => {}
                Some(Value::Dict(_, dict)) => found.push(Table { path, dict: dict.clone(), role: *role }),
                Some(other) => {
                    let message = "it is no table".to_owned();
                    self.fault(name, path, other.tag(), message, "a table of keys".to_owned());
                }
            }
        }
        found
    }

    fn fault(&mut self, name: &str, source: String, tag: Tag, message: String, accepted: String) {
        let place = self.reader.place(tag);
        self.reader.unsound.insert(self.at(name));
        self.reader.faults.push(Fault { key: source, place, message, accepted });
    }

    fn line(&mut self, name: &str, source: String, text: Option<String>, place: Place) {
        self.reader.lines.push(Line { table: self.path.clone(), name: name.to_owned(), source, text, place });
    }

    /// Every key that nothing has read is a fault.
    fn refuse_unknown(&mut self) {
        for Table { path, dict, role } in self.tables.clone() {
            for (name, value) in &dict {
                let known = self.known.contains(&name.as_str());
                let elsewhere = self.inapplicable.contains(&name.as_str());
                if known || role == Role::Borrowed || (elsewhere && role == Role::Shared) {
                    continue;
                }
                let (message, accepted) = match role {
                    Role::Own if elsewhere => {
                        ("it does not apply to this `kind`".to_owned(), self.known.join(", "))
                    }
                    Role::Own => unknown(name, self.known.clone()),
                    // The same words whatever the namespace that falls back to it: it is one fault.
                    _ => unknown(name, [self.known.as_slice(), &self.inapplicable].concat()),
                };
                self.fault(name, join(&path, name), leaf(value), message, accepted);
            }
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The tag of the first value inside: a table that several layers filled has only the last one's.
fn leaf(value: &Value) -> Tag {
    match value {
        Value::Dict(_, dict) => dict.values().next().map_or_else(|| value.tag(), leaf),
        other => other.tag(),
    }
}

/// What is said of a key that does not exist.
fn unknown(name: &str, mut known: Vec<&'static str>) -> (String, String) {
    const ALIKE: f64 = 0.75;
    known.sort_unstable();
    let alike = |key: &&&str| strsim::jaro_winkler(&name.to_ascii_lowercase(), key);
    let nearest = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match nearest.filter(|key| ALIKE <= alike(key)) {
        Some(key) => (format!("unknown key, is `{key}` meant?"), known.join(", ")),
        None => ("unknown key".to_owned(), known.join(", ")),
    }
}
