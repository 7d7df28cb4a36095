//! Connections to a database, and the statements that they run.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{Executor, IntoArguments, Pool};

use super::cell::Cell;
use super::dialect::{Blame, Dialect, Given, NotOfType};
use super::statement::{Purpose, Statement, Unknown};
use super::{SqlSettings, SqlSettingsError};
use crate::model::{Key, Namespace, Seq, Value};

/// How long a connection may lie idle.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How long a connection is used at all: a file or a server that was put in the place of another is seen within this.
const LIFETIME_MAX: Duration = Duration::from_mins(5);

/// A database, whatever its kind.
#[async_trait]
pub(super) trait Database: Send + Sync {
    /// Asks what every statement takes.
    async fn check(&self) -> Result<(), Unknown>;

    /// The first row's column; `None` without a row.
    async fn select(&self, key: &Key) -> Result<Option<Cell>, Trouble>;

    /// Writes the value, or removes the key where there is none. `None`: the statement is not there.
    async fn write(&self, key: &Key, value: Option<&Value>, seq: Seq) -> Result<Option<Written>, Trouble>;
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// To so many rows.
    pub(super) rows: u64,
    /// The statement compared the write's number.
    pub(super) fenced: bool,
}

/// Why a statement did not do what it is for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not what the configuration may hold.
    Wrong(SqlSettingsError),
    /// It cannot be given this.
    NotOfType(NotOfType),
    /// The database says so.
    Failed(Blame, sqlx::Error),
}

impl From<NotOfType> for Trouble {
    fn from(what: NotOfType) -> Self {
        Self::NotOfType(what)
    }
}

/// A pool of connections and the statements.
pub(super) struct Store<DB: Dialect> {
    namespace: Namespace,
    pool: Pool<DB>,
    select: Statement<DB>,
    upsert: Option<Statement<DB>>,
    delete: Option<Statement<DB>>,
}

impl<DB: Dialect> Store<DB> {
    /// Opens nothing yet.
    pub(super) fn new(
        settings: &SqlSettings,
        timeout: Duration,
        connections_max: usize,
    ) -> Result<Self, SqlSettingsError> {
        let options = DB::options(&settings.url, timeout)?;
        let pool = PoolOptions::new()
            .max_connections(u32::try_from(connections_max).unwrap_or(u32::MAX))
            .acquire_timeout(timeout)
            .idle_timeout(IDLE_MAX)
            .max_lifetime(LIFETIME_MAX)
            .connect_lazy_with(options);
        let write = |purpose, sql: &Option<String>| sql.as_deref().map(|sql| Statement::new(purpose, sql));
        Ok(Self {
            namespace: settings.namespace.clone(),
            pool,
            select: Statement::new(Purpose::Select, &settings.select),
            upsert: write(Purpose::Upsert, &settings.upsert),
            delete: write(Purpose::Delete, &settings.delete),
        })
    }

    async fn lend(&self) -> Result<Lent<DB>, sqlx::Error> {
        Ok(Lent { connection: Some(self.pool.acquire().await?) })
    }
}

impl<DB: Dialect> Store<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// What the statement is to be given on this connection, and whether it compares the write's number.
    async fn arguments(
        &self,
        statement: &Statement<DB>,
        connection: &mut DB::Connection,
        given: &[Given<'_>],
    ) -> Result<(DB::Arguments, bool), Trouble> {
        let signature =
            statement.signature(&self.namespace, connection).await.map_err(|unknown| match unknown {
                Unknown::Wrong(error) => Trouble::Wrong(error),
                Unknown::NotThere(error) => Trouble::of::<DB>(error),
            })?;
        let given = &given[..DB::parameters(&signature).min(given.len())];
        Ok((DB::arguments(&signature, given)?, statement.is_fenced(&signature)))
    }
}

#[async_trait]
impl<DB: Dialect> Database for Store<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    async fn check(&self) -> Result<(), Unknown> {
        let mut lent = self.lend().await.map_err(Unknown::NotThere)?;
        for statement in
            [Some(&self.select), self.upsert.as_ref(), self.delete.as_ref()].into_iter().flatten()
        {
            statement.signature(&self.namespace, &mut lent).await?;
        }
        lent.give_back();
        Ok(())
    }

    async fn select(&self, key: &Key) -> Result<Option<Cell>, Trouble> {
        let statement = &self.select;
        let mut lent = self.lend().await.map_err(Trouble::of::<DB>)?;
        let asked = async {
            let (arguments, _) = self.arguments(statement, &mut lent, &[Given::Key(key)]).await?;
            let query = sqlx::query_with(statement.sql(), arguments);
            let row = (*lent).fetch_optional(query).await.map_err(Trouble::of::<DB>)?;
            row.map(|row| DB::cell(&row)).transpose().map_err(Trouble::of::<DB>)
        };
        let result = asked.await;
        match lent.settle(statement, result) {
            // No row can have such a key.
            Err(Trouble::NotOfType(_)) => Ok(None),
            result => result,
        }
    }

    async fn write(&self, key: &Key, value: Option<&Value>, seq: Seq) -> Result<Option<Written>, Trouble> {
        let (statement, given) = match value {
            Some(value) => (&self.upsert, &[Given::Key(key), Given::Value(value), Given::Seq(seq)][..]),
            None => (&self.delete, &[Given::Key(key), Given::Seq(seq)][..]),
        };
        let Some(statement) = statement else { return Ok(None) };
        let mut lent = self.lend().await.map_err(Trouble::of::<DB>)?;
        let asked = async {
            let (arguments, fenced) = self.arguments(statement, &mut lent, given).await?;
            let query = sqlx::query_with(statement.sql(), arguments);
            let done = (*lent).execute(query).await.map_err(Trouble::of::<DB>)?;
            Ok(Some(Written { rows: DB::affected(&done), fenced }))
        };
        let result = asked.await;
        lent.settle(statement, result)
    }
}

impl Trouble {
    fn of<DB: Dialect>(error: sqlx::Error) -> Self {
        Self::Failed(DB::blame(&error), error)
    }
}

/// A connection of the pool's, for one statement.
struct Lent<DB: Dialect> {
    /// There until it is given back.
    connection: Option<PoolConnection<DB>>,
}

impl<DB: Dialect> Lent<DB> {
    fn give_back(mut self) {
        drop(self.connection.take());
    }

    /// Gives it back where its next user will find it in order, and forgets what no longer holds.
    fn settle<T>(self, statement: &Statement<DB>, result: Result<T, Trouble>) -> Result<T, Trouble> {
        match &result {
            Ok(_) | Err(Trouble::NotOfType(_) | Trouble::Failed(Blame::Data, _)) => self.give_back(),
            // It may have a plan for tables that are not those any more.
            Err(Trouble::Wrong(_) | Trouble::Failed(Blame::Statement, _)) => statement.forget(),
            Err(Trouble::Failed(Blame::Time | Blame::Database, _)) => {}
        }
        result
    }
}

impl<DB: Dialect> Deref for Lent<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        self.connection.as_ref().expect("it is given back by value")
    }
}

impl<DB: Dialect> DerefMut for Lent<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.connection.as_mut().expect("it is given back by value")
    }
}

impl<DB: Dialect> Drop for Lent<DB> {
    /// Left in the middle, or in trouble.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.as_mut().filter(|_| DB::CLOSED_WHEN_LEFT) {
            connection.close_on_drop();
        }
    }
}
