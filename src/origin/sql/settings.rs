//! What a SQL origin needs to know, and why it may not be enough.

use std::sync::Arc;
use std::time::Duration;

use crate::guard::Breaker;
use crate::model::Namespace;

/// How values are selected and written. No `Debug`: the URL may hold credentials.
#[derive(Clone)]
pub struct SqlSettings {
    /// Whose values, for the log.
    pub namespace: Namespace,
    /// Which database: `sqlite:///path/to/file.db`, with `?mode=ro` and the like, or `postgres://user:password@host/db`,
    /// with `?sslmode=verify-full` and the like.
    pub url: String,
    /// The statement: one column, the value, and one parameter (SQLite's `?1`, PostgreSQL's `$1`), the key.
    pub select: String,
    /// Makes the second parameter the value of the key, the first; with a third, the write's number, unless a newer write
    /// was there.
    pub upsert: Option<String>,
    /// Removes the key, the first parameter; with a second, the write's number, unless a newer write was there.
    pub delete: Option<String>,
    /// For a whole load or write: waiting, connecting, the statement. Up to a day.
    pub timeout: Duration,
    /// Loads and writes, and connections, at once; at least 1.
    pub max_concurrency: usize,
    /// Leaves the database alone while it does not work.
    pub breaker: Arc<Breaker>,
    /// The longest value that is stored, in bytes. Up to 16 times as many, at most 64 MiB, are passed on.
    pub max_value: usize,
}

/// Why settings make no origin. Names the key; never holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum SqlSettingsError {
    /// The URL's scheme is that of no database which is built in.
    #[error("`url` does not begin with `sqlite:`, `postgres://` or `postgresql://`")]
    Scheme,
    /// The rest of the URL is not understood.
    #[error("`url` is not understood")]
    Url(#[source] sqlx::Error),
    /// The URL says something after its `?` that is not understood.
    #[error("`url` has a parameter other than {0}")]
    UrlParameter(String),
    /// The database does not understand the statement.
    #[error("`{key}` is refused by the database")]
    Statement {
        /// The statement's key in the configuration.
        key: &'static str,
        /// What the database says of it.
        source: sqlx::Error,
    },
    /// The statement gives more or less than one column.
    #[error("`{key}` gives {columns} columns, not one, the value")]
    Columns {
        /// The statement's key in the configuration.
        key: &'static str,
        /// How many columns.
        columns: usize,
    },
    /// The statement takes more or fewer parameters than it is given.
    #[error("`{key}` takes {parameters} parameters, not {accepted}")]
    Parameters {
        /// The statement's key in the configuration.
        key: &'static str,
        /// How many parameters.
        parameters: usize,
        /// How many it may take, and what they stand for.
        accepted: String,
    },
    /// A column or parameter is of a type whose values are not read or given.
    #[error("`{key}`: {what} is of the type {of}; cast it, as in `{cast}`")]
    Type {
        /// The statement's key in the configuration.
        key: &'static str,
        /// Which column or parameter.
        what: String,
        /// Its type in the database.
        of: String,
        /// How it is cast.
        cast: String,
    },
}
