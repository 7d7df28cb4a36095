//! `kind = "debezium"`: streams of change records, and which table's rows are cached where.

use std::path::PathBuf;

use super::super::kind::{
    backend_url, choice, flag, int, list, namespace, path, row_template, text, variable,
};
use super::super::secret::Secret;
use super::super::section::Section;
use super::super::url::BackendUrl;

/// `kind = "debezium"`
#[derive(Clone, Debug, PartialEq)]
pub struct DebeziumSource {
    /// The server that has the streams; `None`: the backend's.
    pub url: Option<BackendUrl>,
    /// From the variable `password_env` names, or from `url`.
    pub password: Option<Secret>,
    /// Certificates to trust, PEM, for `valkeys://`.
    pub ca_file: Option<PathBuf>,
    /// Which table's rows are cached where.
    pub tables: Vec<DebeziumTable>,
    /// The consumer group.
    pub group: String,
    /// What becomes of records that say what is there, not that it has changed.
    pub snapshot: Snapshot,
    /// What the sink writes in place of a key or value that is null.
    pub null: String,
    /// Delete entries that are done.
    pub delete: bool,
    /// Entries taken at once.
    pub batch: usize,
}

/// One `[[sources.tables]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebeziumTable {
    /// The stream that has its records.
    pub stream: String,
    /// Which of the tables whose records the stream has; `None`: whichever.
    pub table: Option<String>,
    /// Where rows are cached.
    pub namespace: String,
    /// What a row is cached as: a template over its columns.
    pub key: Option<String>,
    /// What else changes with a row: templates over its columns.
    pub tags: Vec<String>,
}

/// What becomes of the records of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// They are published: a snapshot that is taken anew may stand for changes that nobody saw.
    Invalidate,
    /// They are passed over.
    Ignore,
}

impl DebeziumSource {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let url = section.field("url").optional(backend_url());
        let variable = section.field("password_env").optional(variable());
        if variable.is_some() && url.as_ref().is_some_and(|url| url.password.is_some()) {
            section.exclusive(&["password_env", "url"]);
        }
        let password = variable.map(|variable| section.secret_of("password_env", &variable));
        let snapshots = [("invalidate", Snapshot::Invalidate), ("ignore", Snapshot::Ignore)];
        Self {
            password: password.or_else(|| url.as_ref()?.password.clone()),
            url,
            ca_file: section.field("ca_file").optional(path()),
            tables: section.field("tables").tables(DebeziumTable::read),
            group: section.field("group").or("coherd", plain(64)),
            snapshot: section.field("snapshot").or("invalidate", choice(&snapshots)),
            null: section.field("null").or("default", plain(64)),
            delete: section.field("delete").or(false, flag()),
            batch: section.field("batch").or(256, int(1..=10_000)),
        }
    }
}

impl DebeziumTable {
    fn read(section: &mut Section<'_>) -> Self {
        let nothing = String::new;
        Self {
            stream: section.field("stream").required(plain(128), nothing()),
            table: section.field("table").optional(plain(256)),
            namespace: section.field("namespace").required(namespace(), nothing()),
            key: section.field("key").optional(row_template()),
            tags: section.field("tags").or(Vec::<String>::new(), list(row_template(), 0..=32)),
        }
    }
}

/// A text without blanks at its ends.
fn plain(max: usize) -> super::super::kind::Kind<String> {
    text(format!("a text of 1 to {max} bytes"), move |text| {
        let fits = (1..=max).contains(&text.len()) && text.trim() == text && !text.contains(char::is_control);
        fits.then(|| text.to_owned())
    })
}
