//! `[[sources]]`: systems whose changes are read and published.

mod debezium;

use std::time::Duration;

use super::kind::{choice, duration, int, postgres_url, source_name, text, variable};
use super::secret::{Secret, SecretUrl};
use super::section::Section;
use super::sql_name::SqlTable;

pub use debezium::{DebeziumSource, DebeziumTable, Snapshot};

/// One `[[sources]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its own, for logs, metrics and `/readyz`.
    pub name: String,
    /// Which, and what it needs.
    pub kind: SourceKind,
}

/// What is read.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// An outbox in PostgreSQL.
    Postgres(PostgresSource),
    /// Streams that Debezium Server fills.
    Debezium(DebeziumSource),
}

/// `kind = "postgres"`
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresSource {
    /// The database.
    pub url: SecretUrl,
    /// From the variable `password_env` names, in place of one in `url`.
    pub password: Option<Secret>,
    /// The table that triggers fill.
    pub outbox: SqlTable,
    /// Where its notices come.
    pub channel: String,
    /// Rows taken at once.
    pub batch: u32,
    /// Between two looks without a notice.
    pub poll_interval: Duration,
}

#[derive(Clone, Copy)]
enum Kind {
    Postgres,
    Debezium,
}

/// The keys of one kind only.
const POSTGRES_ONLY: [&str; 3] = ["outbox", "channel", "poll_interval"];
const DEBEZIUM_ONLY: [&str; 6] = ["ca_file", "tables", "group", "snapshot", "null", "delete"];

impl Source {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let kinds = [("postgres", Kind::Postgres), ("debezium", Kind::Debezium)];
        let kind = section.field("kind").required(choice(&kinds), Kind::Postgres);
        let name = section.field("name").required(source_name(), String::new());
        let kind = match kind {
            Kind::Postgres => {
                section.of_other_kinds(&DEBEZIUM_ONLY);
                SourceKind::Postgres(PostgresSource::read(section))
            }
            Kind::Debezium => {
                section.of_other_kinds(&POSTGRES_ONLY);
                SourceKind::Debezium(DebeziumSource::read(section))
            }
        };
        Self { name, kind }
    }
}

impl PostgresSource {
    fn read(section: &mut Section<'_>) -> Self {
        let url = section.field("url").required(postgres_url(), SecretUrl::from(String::new()));
        let variable = section.field("password_env").optional(variable());
        if variable.is_some() && url.has_password() {
            section.exclusive(&["password_env", "url"]);
        }
        let table =
            text("a table, SCHEMA.TABLE or TABLE of the schema public", |text| text.parse::<SqlTable>().ok());
        let channel = text("a channel of 1 to 63 bytes", |text| {
            let fits = (1..=63).contains(&text.len()) && !text.contains(char::is_control);
            fits.then(|| text.to_owned())
        });
        Self {
            url,
            password: variable.map(|variable| section.secret_of("password_env", &variable)),
            outbox: section.field("outbox").or("coherd_outbox", table),
            channel: section.field("channel").or("coherd", channel),
            batch: section.field("batch").or(1000, int(1..=10_000)),
            poll_interval: section.field("poll_interval").or("1s", duration("10ms", "1h")),
        }
    }
}
