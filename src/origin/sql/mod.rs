//! A SQL origin: one `SELECT` a key, one column, at most one row; one statement a change.

mod cell;
mod dialect;
mod pool;
mod postgres;
mod settings;
mod sqlite;
mod statement;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Postgres, Sqlite};
use tokio::time::timeout;
use tracing::warn;

pub use settings::{SqlSettings, SqlSettingsError};

use self::dialect::Blame;
use self::statement::{Purpose, Unknown};
use self::store::{Database, Store, Trouble, Written};
use super::gate::Gate;
use super::{
    Applied, Change, Fence, Fetched, Origin, OriginError, Validators, WriteError, absent, chain, over_limit,
};
use crate::guard::{Bulkhead, LeftAlone, Urgency};
use crate::model::{Content, Keep, Key, Loaded, Seq, Stated};

/// An origin in a database: SQLite or PostgreSQL. A connection that fails is made anew by the next load or write. One
/// that was left behind in the middle of a statement is held until the statement ends by SQLite, and closed by PostgreSQL,
/// which gives the statement up by itself after the time-out (`statement_timeout`).
///
/// SQLite is given a value as text where its `Content-Type` is a textual one, or none, and its bytes are UTF-8 without NUL,
/// else as a BLOB; PostgreSQL is given key and value as the types that the statement makes of them, and a key that is none
/// of its type (`x` of an `integer`) is absent. The `Content-Type` itself is not kept.
pub struct SqlOrigin {
    database: Box<dyn Database>,
    gate: Gate,
    max_value: usize,
    removes: bool,
}

impl SqlOrigin {
    /// Checks the settings, and the statements too where the database is there; where it is not, each load finds out
    /// by itself whether it has come.
    pub async fn connect(settings: &SqlSettings) -> Result<Self, SqlSettingsError> {
        let gate = Gate::new(settings.timeout, settings.max_concurrency, Arc::clone(&settings.breaker));
        let database = open(settings, gate.timeout())?;
        let why = match timeout(gate.timeout(), database.check()).await {
            Ok(Ok(())) => None,
            Ok(Err(Unknown::Wrong(error))) => return Err(error),
            Ok(Err(Unknown::NotThere(error))) => Some(chain(&error)),
            Err(_elapsed) => Some(OriginError::TimedOut.to_string()),
        };
        if let Some(error) = why {
            let namespace = &settings.namespace;
            warn!(%namespace, error, "the database cannot be asked, its statements go unchecked");
        }
        Ok(Self { database, gate, max_value: settings.max_value, removes: settings.delete.is_some() })
    }

    /// The concurrency limit, to be read.
    pub fn bulkhead(&self) -> &Bulkhead {
        self.gate.bulkhead()
    }

    async fn select(&self, key: &Key) -> Result<Fetched, OriginError> {
        let cell = self.database.select(key).await.map_err(|trouble| match trouble {
            Trouble::Wrong(error) => OriginError::Unusable(chain(&error)),
            Trouble::NotOfType(error) => OriginError::Unusable(chain(&error)),
            Trouble::Failed(Blame::Data, error) => OriginError::Unusable(error),
            Trouble::Failed(Blame::Time, _) => OriginError::TimedOut,
            Trouble::Failed(Blame::Statement | Blame::Database | Blame::Connection, error) => {
                OriginError::Failed(error)
            }
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

    async fn change(&self, key: &Key, change: &Change, seq: Seq) -> Result<Applied, WriteError> {
        let value = match change {
            Change::Put(value) => Some(value),
            Change::Delete => None,
        };
        let written = self.database.write(key, value, seq).await.map_err(|trouble| match trouble {
            Trouble::Wrong(error) => WriteError::Refused(chain(&error)),
            Trouble::NotOfType(error) => WriteError::Refused(chain(&error)),
            Trouble::Failed(Blame::Data, error) => WriteError::Refused(error),
            Trouble::Failed(Blame::Time, _) => OriginError::TimedOut.into(),
            // Tables that do not fit may be in the middle of a change.
            Trouble::Failed(Blame::Statement | Blame::Database | Blame::Connection, error) => {
                OriginError::Failed(error).into()
            }
        })?;
        match written {
            // Nothing that was to be removed is as good as removed, and a newer write the one reason that a fenced
            // statement has for doing nothing.
            Some(Written { rows: 0, fenced: true }) => Ok(Applied::Superseded),
            Some(Written { rows: 0, fenced: false }) if value.is_some() => {
                Err(WriteError::Refused("`upsert` has written no row".to_owned()))
            }
            Some(_) => Ok(Applied::Done),
            None => Err(WriteError::Refused(format!("there is no `{}`", purpose(change).key()))),
        }
    }
}

/// Which statement makes a change.
fn purpose(change: &Change) -> Purpose {
    match change {
        Change::Put(_) => Purpose::Upsert,
        Change::Delete => Purpose::Delete,
    }
}

/// The kind of database that the URL's scheme says.
fn open(settings: &SqlSettings, timeout: Duration) -> Result<Box<dyn Database>, SqlSettingsError> {
    if settings.url.starts_with("sqlite:") {
        Ok(Box::new(Store::<Sqlite>::new(settings, timeout)?))
    } else if settings.url.starts_with("postgres://") || settings.url.starts_with("postgresql://") {
        Ok(Box::new(Store::<Postgres>::new(settings, timeout)?))
    } else {
        Err(SqlSettingsError::Scheme)
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

    /// A fenced statement that writes no row was [`Applied::Superseded`]; so is a fenced removal of what is not there.
    async fn write(
        &self,
        key: &Key,
        change: &Change,
        fence: &Fence,
        urgency: Urgency,
    ) -> Result<Applied, WriteError> {
        self.gate.pass(urgency, async |_leave| self.change(key, change, fence.seq).await).await
    }

    fn removes(&self) -> bool {
        self.removes
    }

    fn left_alone(&self) -> Option<LeftAlone> {
        self.gate.refuses()
    }
}
