//! `[namespaces.X.origin]`: the system of record, one of three kinds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::breaker::Breaker;
use super::declare::section;
use super::kind::{choice, duration, headers, http_url, int, path, sql_url, statement};
use super::secret::{Secret, SecretUrl};
use super::section::Section;

/// Where values come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// The application loads and stores by itself.
    None,
    /// A web service.
    Http(HttpOrigin),
    /// A database.
    Sql(SqlOrigin),
}

/// `kind = "http"`
#[derive(Clone, Debug, PartialEq)]
pub struct HttpOrigin {
    /// Template over `{namespace}` and `{key}`; placeholders stand after the host only.
    pub url: SecretUrl,
    /// What a load may take.
    pub limits: Limits,
    /// Whether the origin's answers say how long they live.
    pub cache_control: CacheControl,
    /// Sent with every request; names in lower case.
    pub headers: BTreeMap<String, Secret>,
    /// Root certificates for `https`, PEM; none: the system's.
    pub ca_file: Option<PathBuf>,
}

/// `kind = "sql"`
#[derive(Clone, Debug, PartialEq)]
pub struct SqlOrigin {
    /// The database.
    pub url: SecretUrl,
    /// What a load may take.
    pub limits: Limits,
    /// One column: the value of key `?1`.
    pub select: String,
    /// Writes value `?2` of key `?1`; `?3` is the write's number.
    pub upsert: Option<String>,
    /// Removes key `?1`; `?2` is the write's number.
    pub delete: Option<String>,
}

/// Whether the origin's `Cache-Control`, `ETag` and `Last-Modified` are obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheControl {
    /// They are.
    Honour,
    /// Only the namespace's own settings count.
    Ignore,
}

section! { at =>
    /// What a load may take, whatever the kind.
    pub struct Limits {
        /// Hard: the load is given up.
        timeout: Duration = at.or("2s", duration("1ms", "10m"));
        /// A stale copy is answered after this while the load goes on; zero: off.
        soft_timeout: Duration = at.or("0s", duration("0s", "10m"));
        /// Further attempts after a temporary failure.
        retries: u32 = at.or(1, int(0..=10));
        /// Loads at once; further ones wait up to `timeout`.
        max_concurrency: usize = at.or(64, int(1..=65_536));
        /// When to stop asking for a while.
        breaker: Breaker = at.table(Breaker::read);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    None,
    Http,
    Sql,
}

/// The keys of one kind only. In `[defaults]` they may stand beside each other, for namespaces of several kinds.
const HTTP_ONLY: [&str; 3] = ["cache_control", "headers", "ca_file"];
const SQL_ONLY: [&str; 3] = ["select", "upsert", "delete"];
const LIMITS: [&str; 5] = ["timeout", "soft_timeout", "retries", "max_concurrency", "breaker"];

impl Origin {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let kinds = [("http", Kind::Http), ("sql", Kind::Sql), ("none", Kind::None)];
        let kind = section.field("kind").or("http", choice(&kinds));
        match kind {
            Kind::None => {
                section.of_other_kinds(&[&["url"], &LIMITS[..], &HTTP_ONLY, &SQL_ONLY].concat());
                Self::None
            }
            Kind::Http => {
                section.of_other_kinds(&SQL_ONLY);
                Self::Http(HttpOrigin::read(section))
            }
            Kind::Sql => {
                section.of_other_kinds(&HTTP_ONLY);
                Self::Sql(SqlOrigin::read(section))
            }
        }
    }

    /// What a load may take; nothing is loaded from `None`.
    pub fn limits(&self) -> Option<&Limits> {
        match self {
            Self::None => None,
            Self::Http(http) => Some(&http.limits),
            Self::Sql(sql) => Some(&sql.limits),
        }
    }
}

impl HttpOrigin {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            url: section.field("url").required(http_url(), nowhere()),
            limits: Limits::read(section),
            cache_control: section
                .field("cache_control")
                .or("honour", choice(&[("honour", CacheControl::Honour), ("ignore", CacheControl::Ignore)])),
            headers: section.field("headers").or(BTreeMap::<String, String>::new(), headers()),
            ca_file: section.field("ca_file").optional(path()),
        }
    }
}

impl SqlOrigin {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            url: section.field("url").required(sql_url(), nowhere()),
            limits: Limits::read(section),
            select: section.field("select").required(statement(), String::new()),
            upsert: section.field("upsert").optional(statement()),
            delete: section.field("delete").optional(statement()),
        }
    }
}

/// In place of a URL that is missing: a fault of its own.
fn nowhere() -> SecretUrl {
    SecretUrl::from(String::new())
}
