//! A statement of the configuration, and what the database says that it takes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{AssertSqlSafe, Either, Executor, SqlSafeStr, SqlStr, Statement as _};
use tracing::warn;

use super::SqlSettingsError;
use super::dialect::{Blame, Dialect};
use crate::model::Namespace;

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Select,
    Upsert,
    Delete,
}

impl Purpose {
    /// Its key in the configuration.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }

    /// What its parameters stand for.
    pub(super) fn roles(self) -> &'static [Role] {
        match self {
            Self::Select => &[Role::Key],
            Self::Upsert => &[Role::Key, Role::Value, Role::Seq],
            Self::Delete => &[Role::Key, Role::Seq],
        }
    }

    /// Whether the write's number, the last, is one of so many parameters.
    fn is_fenced(self, parameters: usize) -> bool {
        self != Self::Select && parameters == self.roles().len()
    }

    /// The write's number may be missing, nothing else.
    fn takes(self, parameters: usize) -> bool {
        let most = self.roles().len();
        parameters == most || self != Self::Select && parameters + 1 == most
    }

    fn accepts(self, mark: char) -> String {
        match self {
            Self::Select => format!("one, the key (`{mark}1`)"),
            Self::Upsert => format!(
                "two or three, the key (`{mark}1`), the value (`{mark}2`) and the write's number (`{mark}3`)"
            ),
            Self::Delete => {
                format!("one or two, the key (`{mark}1`) and the write's number (`{mark}2`)")
            }
        }
    }
}

/// What a parameter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Key,
    Value,
    Seq,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "the key",
            Self::Value => "the value",
            Self::Seq => "the write's number",
        })
    }
}

/// A statement. A key or value is only ever bound to it.
pub(super) struct Statement<DB: Dialect> {
    purpose: Purpose,
    sql: SqlStr,
    /// Forgotten when the tables have changed.
    signature: Mutex<Option<Arc<DB::Signature>>>,
}

/// Why it is not known what a statement takes.
pub(super) enum Unknown {
    /// It is wrong.
    Wrong(SqlSettingsError),
    /// The database could not be asked.
    NotThere(sqlx::Error),
}

impl<DB: Dialect> Statement<DB> {
    pub(super) fn new(purpose: Purpose, sql: &str) -> Self {
        // The operator's own text.
        let sql = AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str();
        Self { purpose, sql, signature: Mutex::default() }
    }

    pub(super) fn sql(&self) -> SqlStr {
        self.sql.clone()
    }

    /// Whether it takes the write's number.
    pub(super) fn is_fenced(&self, signature: &DB::Signature) -> bool {
        self.purpose.is_fenced(DB::parameters(signature))
    }

    pub(super) fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<Arc<DB::Signature>>> {
        // A single assignment under it.
        self.signature.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<DB: Dialect> Statement<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// What it takes; asks the database unless it has said so before.
    pub(super) async fn signature(
        &self,
        namespace: &Namespace,
        connection: &mut DB::Connection,
    ) -> Result<Arc<DB::Signature>, Unknown> {
        if let Some(signature) = &*self.known() {
            return Ok(Arc::clone(signature));
        }
        let statement = connection.prepare(self.sql()).await.map_err(|error| self.unprepared(error))?;
        let signature = Arc::new(self.read(&statement).map_err(Unknown::Wrong)?);
        if self.purpose != Purpose::Select && !self.is_fenced(&signature) {
            warn!(
                namespace = %namespace,
                "`{}` is not fenced: a write that arrives late may undo a newer one; give it the write's number",
                self.purpose.key(),
            );
        }
        *self.known() = Some(Arc::clone(&signature));
        Ok(signature)
    }

    fn unprepared(&self, source: sqlx::Error) -> Unknown {
        match DB::blame(&source) {
            Blame::Statement | Blame::Data => {
                Unknown::Wrong(SqlSettingsError::Statement { key: self.purpose.key(), source })
            }
            Blame::Time | Blame::Database | Blame::Connection => Unknown::NotThere(source),
        }
    }

    fn read(&self, statement: &DB::Statement) -> Result<DB::Signature, SqlSettingsError> {
        let (purpose, key) = (self.purpose, self.purpose.key());
        let columns = statement.columns().len();
        if purpose == Purpose::Select && columns != 1 {
            return Err(SqlSettingsError::Columns { key, columns });
        }
        let parameters = match statement.parameters() {
            Some(Either::Left(types)) => types.len(),
            Some(Either::Right(count)) => count,
            None => 0,
        };
        if !purpose.takes(parameters) {
            let accepted = purpose.accepts(DB::MARK);
            return Err(SqlSettingsError::Parameters { key, parameters, accepted });
        }
        DB::signature(statement, purpose)
    }
}
