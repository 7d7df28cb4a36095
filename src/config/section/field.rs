//! One key at the moment it is read: its value, its default, or a fault.

use figment::value::{Tag, Value};

use super::{Role, Section, Table, join, leaf};
use crate::config::fault::Place;
use crate::config::kind::{self, Kind};

/// A key that is about to be read.
pub(in crate::config) struct Field<'s, 'r> {
    pub(super) section: &'s mut Section<'r>,
    pub(super) name: &'static str,
}

impl Field<'_, '_> {
    /// Its value, or `default`, which the kind must accept.
    pub(in crate::config) fn or<T: 'static>(self, default: impl Into<Value>, kind: Kind<T>) -> T {
        let default = default.into();
        let (default, shown) =
            kind.read(&default, false).expect("a default is accepted by its kind: every test reads them all");
        let Self { section, name } = self;
        match (Field { section, name }).lookup(kind) {
            Lookup::Read(value) => value,
            Lookup::Wrong => default,
            Lookup::Absent(_) => {
                section.line(name, section.at(name), Some(shown), Place::Default);
                default
            }
        }
    }

    /// Its value, if it has one.
    pub(in crate::config) fn optional<T: 'static>(self, kind: Kind<T>) -> Option<T> {
        let Self { section, name } = self;
        match (Field { section, name }).lookup(kind) {
            Lookup::Read(value) => Some(value),
            Lookup::Wrong => None,
            Lookup::Absent(_) => {
                section.line(name, section.at(name), None, Place::Default);
                None
            }
        }
    }

    /// Its value; none is a fault, and the result then `fallback`.
    pub(in crate::config) fn required<T: 'static>(self, kind: Kind<T>, fallback: T) -> T {
        let Self { section, name } = self;
        match (Field { section, name }).lookup(kind) {
            Lookup::Read(value) => value,
            Lookup::Wrong => fallback,
            Lookup::Absent(kind) => {
                let source = section.at(name);
                if section.partial {
                    section.line(name, source, None, Place::Default);
                } else {
                    let tag = section.tables.iter().find_map(|table| table.dict.values().next()).map(leaf);
                    let message = "it is missing".to_owned();
                    section.fault(name, source, tag.unwrap_or(Tag::Default), message, kind.accepted);
                }
                fallback
            }
        }
    }

    /// A table of its own, whose keys all have defaults.
    pub(in crate::config) fn table<T>(self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let tables = self.section.subtables(self.name);
        let (path, partial) = (self.section.at(self.name), self.section.partial);
        Section::read(self.section.reader, path, tables, partial, read)
    }

    /// A table of its own, if there is one.
    pub(in crate::config) fn optional_table<T>(self, read: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        let tables = self.section.subtables(self.name);
        let (path, partial) = (self.section.at(self.name), self.section.partial);
        if tables.is_empty() {
            self.section.line(self.name, path, None, Place::Default);
            return None;
        }
        Some(Section::read(self.section.reader, path, tables, partial, read))
    }

    /// A list of tables.
    pub(in crate::config) fn tables<T>(self, read: impl Fn(&mut Section<'_>) -> T) -> Vec<T> {
        let Self { section, name } = self;
        let path = section.at(name);
        let found = section.tables.iter().find_map(|table| table.dict.get(name)).cloned();
        let Some(value) = found else {
            section.line(name, path, None, Place::Default);
            return Vec::new();
        };
        let loose = section.reader.place(value.tag()).is_loose();
        let typed = value.as_str().filter(|_| loose).and_then(kind::toml_value);
        let Value::Array(_, items) = typed.unwrap_or_else(|| value.clone()) else {
            section.fault(name, path, value.tag(), "it is no list".to_owned(), "a list of tables".to_owned());
            return Vec::new();
        };
        let mut read_all = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Value::Dict(_, dict) = item {
                let table = Table { path: path.clone(), dict, role: Role::Own };
                read_all.push(Section::read(section.reader, path, vec![table], false, &read));
            } else {
                let message = "it is no table".to_owned();
                section.fault(name, path, value.tag(), message, "a list of tables".to_owned());
            }
        }
        read_all
    }

    /// Its first value in the section's tables, read.
    fn lookup<T: 'static>(self, kind: Kind<T>) -> Lookup<T> {
        let Self { section, name } = self;
        let found =
            section.tables.iter().find_map(|table| Some((join(&table.path, name), table.dict.get(name)?)));
        let Some((source, value)) = found else { return Lookup::Absent(kind) };
        let (value, tag) = (value.clone(), leaf(value));
        let place = section.reader.place(tag);
        match kind.read(&value, place.is_loose()) {
            Ok((parsed, shown)) => {
                section.line(name, source, Some(shown), place);
                Lookup::Read(parsed)
            }
            Err(message) => {
                section.fault(name, source, tag, message, kind.accepted);
                Lookup::Wrong
            }
        }
    }
}

enum Lookup<T> {
    Read(T),
    /// It is a fault already.
    Wrong,
    Absent(Kind<T>),
}
