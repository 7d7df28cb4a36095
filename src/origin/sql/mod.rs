//! A SQL origin: one `SELECT` a key, one column, at most one row.

mod cell;
mod sqlite;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::warn;

use self::sqlite::{Sqlite, Unchecked};
use super::gate::Gate;
use super::{Fetched, Origin, OriginError, Validators, absent, chain, over_limit};
use crate::guard::{Breaker, Bulkhead, LeftAlone, Urgency};
use crate::model::{Content, Keep, Key, Loaded, Stated};

/// How values are selected. No `Debug`: the URL may hold credentials.
#[derive(Clone)]
pub struct SqlSettings {
    /// Which database: `sqlite:///path/to/file.db`, with `?mode=ro` and the like.
    pub url: String,
    /// The statement: one column, the value, and one parameter (`?1`), the key as text.
    pub select: String,
    /// For a whole load: waiting, connecting, the statement. Up to a day.
    pub timeout: Duration,
    /// Loads, and connections, at once; at least 1.
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
    #[error("`url` does not begin with `sqlite:`")]
    Scheme,
    /// The rest of the URL is not understood.
    #[error("`url` is not understood")]
    Url(#[source] sqlx::Error),
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
    /// The statement takes more or less than one parameter.
    #[error("`{key}` takes {parameters} parameters, not one, the key (`?1`)")]
    Parameters {
        /// The statement's key in the configuration.
        key: &'static str,
        /// How many parameters.
        parameters: usize,
    },
}

/// An origin in a database. A connection that fails is made anew by the next load; one that a load had to leave
/// behind in the middle of a statement is held until the statement ends.
pub struct SqlOrigin {
    database: Sqlite,
    gate: Gate,
    max_value: usize,
}

impl SqlOrigin {
    /// Checks the settings, and the statement too where the database is there; where it is not, each load finds out
    /// by itself whether it has come.
    pub async fn connect(settings: &SqlSettings) -> Result<Self, SqlSettingsError> {
        let gate = Gate::new(settings.timeout, settings.max_concurrency, Arc::clone(&settings.breaker));
        let database = Sqlite::new(&settings.url, &settings.select, gate.timeout(), gate.bulkhead().size())?;
        match database.check("select").await {
            Ok(()) => {}
            Err(Unchecked::Wrong(error)) => return Err(error),
            Err(Unchecked::NotThere(error)) => {
                warn!(error = chain(&error), "the database cannot be asked, `select` goes unchecked");
            }
        }
        Ok(Self { database, gate, max_value: settings.max_value })
    }

    /// The concurrency limit, to be read.
    pub fn bulkhead(&self) -> &Bulkhead {
        self.gate.bulkhead()
    }

    async fn select(&self, key: &Key) -> Result<Fetched, OriginError> {
        let cell = self.database.select(key).await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => OriginError::TimedOut,
            // It works: it has read the statement and this row.
            error if sqlite::is_of_the_row(&error) => OriginError::Unusable(chain(&error)),
            error => OriginError::Failed(chain(&error)),
        })?;
        let Some(value) = cell.and_then(cell::Cell::into_value) else {
            return Ok(absent(Vec::new(), Keep::Yes));
        };
        // The database has made it already; this only keeps it from going further.
        let limit = super::passed_on_max(self.max_value);
        if limit < value.body.len() {
            return Err(over_limit(limit));
        }
        let keep = if self.max_value < value.body.len() { Keep::TooLarge } else { Keep::Yes };
        Ok(Fetched::Loaded(Loaded {
            content: Content::Present(value),
            tags: Vec::new(),
            lifetime: Stated::default(),
            age: Duration::ZERO,
            keep,
        }))
    }
}

#[async_trait]
impl Origin for SqlOrigin {
    /// Never conditional: to compare, the database would have to make the value all the same.
    async fn load(
        &self,
        key: &Key,
        _held: Option<&Validators>,
        urgency: Urgency,
    ) -> Result<Fetched, OriginError> {
        self.gate.pass(urgency, async |_leave| self.select(key).await).await
    }

    fn left_alone(&self) -> Option<LeftAlone> {
        self.gate.refuses()
    }
}
