//! From a change record to the event that it means: which table's rows are cached where, under which keys and tags.

use std::str::FromStr;
use std::sync::Arc;

use super::Settings;
use super::record::{Body, Change, Op, Origin, Record, Row};
use crate::coherence::form::FormError;
use crate::feeds::braces::{Part, parts};
use crate::model::{Event, Key, Namespace, Provenance, Tag, Target};

/// Where a table's rows are cached.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The stream that has its records.
    pub stream: Arc<str>,
    /// `TABLE` or `SCHEMA.TABLE` (`DATABASE.TABLE` of MySQL), where a stream has records of several.
    pub table: Option<String>,
    /// Where.
    pub namespace: Namespace,
    /// What a row is cached as; `None`: only its tags are named.
    pub key: Option<Template>,
    /// What else changes with a row.
    pub tags: Vec<Template>,
}

/// A text with columns in braces, such as `{tenant}/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a brace lacks its other half, or nothing is in it")]
pub struct TemplateError;

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let parts = parts(text).ok_or(TemplateError)?;
        let wrong = |part: &Part| matches!(part, Part::Column(name) if name.is_empty() || name.contains('{'));
        if parts.iter().any(wrong) {
            return Err(TemplateError);
        }
        Ok(Self(parts))
    }
}

impl Template {
    /// Filled in from a row, and what that lacks from the key. `None`: a column is in neither, or null.
    fn fill(&self, row: &Row<'_>, key: &Row<'_>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Column(name) => filled.push_str(&row.text(name).or_else(|| key.text(name))?),
            }
        }
        Some(filled)
    }
}

impl Mapping {
    /// Whether a change took place in its table.
    fn is_of(&self, origin: &Origin<'_>) -> bool {
        let Some(table) = &self.table else { return true };
        let (within, name) =
            table.rsplit_once('.').map_or((None, &**table), |(within, name)| (Some(within), name));
        let of = |part: &Option<_>, text: &str| part.as_deref() == Some(text);
        of(&origin.table, name)
            && within.is_none_or(|within| of(&origin.schema, within) || of(&origin.db, within))
    }
}

/// What a record means.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    pub(super) event: Option<Event>,
    /// What of it is wrong. What is right is published all the same.
    pub(super) faults: Vec<FormError>,
}

/// What a record of that stream means.
pub(super) fn meaning(settings: &Settings, stream: &str, record: &Record<'_>) -> Meaning {
    let of_stream = settings.mappings.iter().filter(|mapping| &*mapping.stream == stream);
    match &record.body {
        Body::Other => Meaning::default(),
        Body::Change(change) if change.op == Op::Read && settings.ignore_snapshot => Meaning::default(),
        Body::Change(change) => {
            // A table that nobody has mapped is nobody's business.
            let mappings: Vec<_> = of_stream.filter(|mapping| mapping.is_of(&change.source)).collect();
            of_change(&mappings, change, &record.key)
        }
        // It does not say of which table.
        Body::Tombstone => match of_stream.collect::<Vec<_>>().as_slice() {
            [mapping] => {
                let mut named = Named::default();
                named.row(mapping, &Row::default(), &record.key);
                named.meaning("tombstone", &Origin::default())
            }
            _ => Meaning::default(),
        },
    }
}

fn of_change(mappings: &[&Mapping], change: &Change<'_>, key: &Row<'_>) -> Meaning {
    if mappings.is_empty() {
        return Meaning::default();
    }
    let mut named = Named::default();
    for mapping in mappings {
        if change.op == Op::Truncate {
            named.targets.push(Target::Namespace(mapping.namespace.clone()));
            continue;
        }
        // Both: a key or a tag may have changed.
        for row in [&change.before, &change.after].into_iter().flatten() {
            named.row(mapping, row, key);
        }
        if change.before.is_none() && change.after.is_none() {
            named.row(mapping, &Row::default(), key);
        }
    }
    // A change that names nothing would leave everything as it was.
    if named.targets.is_empty() && named.faults.is_empty() {
        named.faults.push(FormError::NoTarget);
    }
    let op = match change.op {
        Op::Create => "c",
        Op::Update => "u",
        Op::Delete => "d",
        Op::Read => "r",
        Op::Truncate => "t",
    };
    named.meaning(op, &change.source)
}

/// What has been named so far.
#[derive(Default)]
struct Named {
    targets: Vec<Target>,
    faults: Vec<FormError>,
}

impl Named {
    fn row(&mut self, mapping: &Mapping, row: &Row<'_>, key: &Row<'_>) {
        if let Some(text) = mapping.key.as_ref().and_then(|template| template.fill(row, key)) {
            let target = Key::new(&text).map(|key| Target::Key(mapping.namespace.clone(), key));
            self.add(target.map_err(FormError::BadKey));
        }
        for text in mapping.tags.iter().filter_map(|template| template.fill(row, key)) {
            self.add(Tag::new(&text).map(Target::Tag).map_err(FormError::BadTag));
        }
    }

    fn add(&mut self, target: Result<Target, FormError>) {
        match target {
            Ok(target) if self.targets.contains(&target) => {}
            Ok(target) => self.targets.push(target),
            Err(fault) => self.faults.push(fault),
        }
    }

    fn meaning(self, what: &str, origin: &Origin<'_>) -> Meaning {
        let Self { targets, faults } = self;
        if targets.is_empty() {
            return Meaning { event: None, faults };
        }
        let place: Vec<&str> =
            [origin.schema.as_deref(), origin.table.as_deref()].into_iter().flatten().collect();
        let reason = format!("{what} {}", place.join("."));
        let end = reason.floor_char_boundary(Event::TEXT_BYTES_MAX);
        let provenance = Provenance {
            source: "debezium".to_owned(),
            reason: reason[..end].trim_end().to_owned(),
            trace: None,
        };
        Meaning { event: Some(Event { provenance, ..Event::hard(targets) }), faults }
    }
}
