//! Connections to a database, and the statements that they run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Executor, IntoArguments};

use super::cell::Cell;
use super::dialect::{Blame, Dialect, Given, NotOfType};
use super::pool::{Lent, Pool};
use super::statement::{Purpose, Statement, Unknown};
use super::{SqlSettings, SqlSettingsError};
use crate::model::{Key, Namespace, Seq, Value};

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
    Failed(Blame, String),
}

impl From<NotOfType> for Trouble {
    fn from(what: NotOfType) -> Self {
        Self::NotOfType(what)
    }
}

/// A pool of connections and the statements.
pub(super) struct Store<DB: Dialect> {
    namespace: Namespace,
    pool: Arc<Pool<DB>>,
    select: Statement<DB>,
    upsert: Option<Statement<DB>>,
    delete: Option<Statement<DB>>,
}

impl<DB: Dialect> Store<DB> {
    /// Opens nothing yet.
    pub(super) fn new(settings: &SqlSettings, timeout: Duration) -> Result<Self, SqlSettingsError> {
        let pool = Pool::new(DB::options(&settings.url, timeout)?);
        let write = |purpose, sql: &Option<String>| sql.as_deref().map(|sql| Statement::new(purpose, sql));
        Ok(Self {
            namespace: settings.namespace.clone(),
            pool,
            select: Statement::new(Purpose::Select, &settings.select),
            upsert: write(Purpose::Upsert, &settings.upsert),
            delete: write(Purpose::Delete, &settings.delete),
        })
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
                // Nor does it when it is run; tables come and go.
                Unknown::Wrong(SqlSettingsError::Statement { source, .. }) => {
                    Trouble::Failed(Blame::Statement, DB::told(&source))
                }
                Unknown::Wrong(error) => Trouble::Wrong(error),
                Unknown::NotThere(error) => Trouble::of::<DB>(&error),
            })?;
        let given = &given[..DB::parameters(&signature).min(given.len())];
        Ok((DB::arguments(&signature, given)?, statement.is_fenced(&signature)))
    }

    async fn select_on(&self, mut lent: Lent<DB>, key: &Key) -> Result<Option<Cell>, Trouble> {
        let statement = &self.select;
        let asked = async {
            let (arguments, _) = self.arguments(statement, &mut lent, &[Given::Key(key)]).await?;
            let query = sqlx::query_with(statement.sql(), arguments);
            let row = (*lent).fetch_optional(query).await.map_err(|error| Trouble::of::<DB>(&error))?;
            row.map(|row| DB::cell(&row)).transpose().map_err(|error| Trouble::of::<DB>(&error))
        };
        let result = asked.await;
        self.settle(statement, lent, result)
    }

    /// Gives the connection back where its next user will find it in order, and forgets what no longer holds.
    fn settle<T>(
        &self,
        statement: &Statement<DB>,
        lent: Lent<DB>,
        result: Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        match &result {
            Ok(_) | Err(Trouble::NotOfType(_) | Trouble::Failed(Blame::Data | Blame::Database, _)) => {
                lent.give_back();
            }
            Err(Trouble::Wrong(_) | Trouble::Failed(Blame::Statement, _)) => {
                // It may have a plan for tables that are not those any more; so may the others.
                lent.close();
                self.pool.clear();
                statement.forget();
            }
            Err(Trouble::Failed(Blame::Time, _)) => drop(lent),
            Err(Trouble::Failed(Blame::Connection, _)) => {
                lent.close();
                self.pool.clear();
            }
        }
        result
    }
}

#[async_trait]
impl<DB: Dialect> Database for Store<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    async fn check(&self) -> Result<(), Unknown> {
        let mut lent = self.pool.take().await.map_err(Unknown::NotThere)?;
        for statement in
            [Some(&self.select), self.upsert.as_ref(), self.delete.as_ref()].into_iter().flatten()
        {
            statement.signature(&self.namespace, &mut lent).await?;
        }
        lent.give_back();
        Ok(())
    }

    async fn select(&self, key: &Key) -> Result<Option<Cell>, Trouble> {
        loop {
            let lent = self.pool.take().await.map_err(|error| Trouble::of::<DB>(&error))?;
            let is_new = lent.is_new();
            match self.select_on(lent, key).await {
                // It had gone before it was asked, or as it was: nothing was lost by that.
                Err(Trouble::Failed(Blame::Connection, _)) if !is_new => {}
                // No row can have such a key.
                Err(Trouble::NotOfType(_)) => return Ok(None),
                result => return result,
            }
        }
    }

    async fn write(&self, key: &Key, value: Option<&Value>, seq: Seq) -> Result<Option<Written>, Trouble> {
        let (statement, given) = match value {
            Some(value) => (&self.upsert, &[Given::Key(key), Given::Value(value), Given::Seq(seq)][..]),
            None => (&self.delete, &[Given::Key(key), Given::Seq(seq)][..]),
        };
        let Some(statement) = statement else { return Ok(None) };
        let mut lent = self.pool.take().await.map_err(|error| Trouble::of::<DB>(&error))?;
        let asked = async {
            let (arguments, fenced) = self.arguments(statement, &mut lent, given).await?;
            let query = sqlx::query_with(statement.sql(), arguments);
            let done = (*lent).execute(query).await.map_err(|error| Trouble::of::<DB>(&error))?;
            Ok(Some(Written { rows: DB::affected(&done), fenced }))
        };
        let result = asked.await;
        self.settle(statement, lent, result)
    }
}

impl Trouble {
    fn of<DB: Dialect>(error: &sqlx::Error) -> Self {
        Self::Failed(DB::blame(error), DB::told(error))
    }
}
