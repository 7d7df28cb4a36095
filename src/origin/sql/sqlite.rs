//! SQLite.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Either, Executor, Row, SqlSafeStr, SqlStr, Statement, TypeInfo, ValueRef,
};

use super::SqlSettingsError;
use super::cell::Cell;
use crate::model::Key;

/// How long a connection may lie idle.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How long a connection is used at all: a file that was put in the place of another is seen within this.
const LIFETIME_MAX: Duration = Duration::from_mins(5);
/// SQLite's result codes (<https://sqlite.org/rescode.html>), the low byte of the extended ones: a statement that is
/// wrong, or a function in it that fails on what it is given.
const SQLITE_ERROR: i32 = 1;
/// A value or text over SQLite's own limit.
const SQLITE_TOOBIG: i32 = 18;
/// A value of another type than the statement needs.
const SQLITE_MISMATCH: i32 = 20;

/// A pool of connections and the statement.
pub(super) struct Sqlite {
    pool: SqlitePool,
    select: SqlStr,
}

/// Why a statement was not found to be right.
pub(super) enum Unchecked {
    /// It is wrong.
    Wrong(SqlSettingsError),
    /// The database could not be asked.
    NotThere(sqlx::Error),
}

impl Sqlite {
    /// Opens nothing yet.
    pub(super) fn new(
        url: &str,
        select: &str,
        timeout: Duration,
        connections_max: usize,
    ) -> Result<Self, SqlSettingsError> {
        if !url.starts_with("sqlite:") {
            return Err(SqlSettingsError::Scheme);
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(SqlSettingsError::Url)?
            // Short of the time-out, so that a load says that the database was locked and not only that time was up.
            .busy_timeout(timeout / 4 * 3)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(u32::try_from(connections_max).unwrap_or(u32::MAX))
            .acquire_timeout(timeout)
            .idle_timeout(IDLE_MAX)
            .max_lifetime(LIFETIME_MAX)
            .connect_lazy_with(options);
        // The operator's own text; a key is only ever bound.
        let select = AssertSqlSafe(Arc::<str>::from(select)).into_sql_str();
        Ok(Self { pool, select })
    }

    /// Prepares the statement; `key` is its name in the configuration.
    pub(super) async fn check(&self, key: &'static str) -> Result<(), Unchecked> {
        let mut connection = self.pool.acquire().await.map_err(Unchecked::NotThere)?;
        let statement = match connection.prepare(self.select.clone()).await {
            Ok(statement) => statement,
            Err(source) if is_wrong_statement(&source) => {
                return Err(Unchecked::Wrong(SqlSettingsError::Statement { key, source }));
            }
            Err(error) => return Err(Unchecked::NotThere(error)),
        };
        let columns = statement.columns().len();
        let parameters = match statement.parameters() {
            Some(Either::Left(types)) => types.len(),
            Some(Either::Right(count)) => count,
            None => 0,
        };
        match (columns, parameters) {
            (1, 1) => Ok(()),
            (1, _) => Err(Unchecked::Wrong(SqlSettingsError::Parameters { key, parameters })),
            (_, _) => Err(Unchecked::Wrong(SqlSettingsError::Columns { key, columns })),
        }
    }

    /// The first row's column; `None` without a row.
    pub(super) async fn select(&self, key: &Key) -> Result<Option<Cell>, sqlx::Error> {
        let query = sqlx::query(self.select.clone()).bind(&**key);
        query.fetch_optional(&self.pool).await?.map(|row| cell(&row)).transpose()
    }
}

/// Not the code of a database that is locked, missing or broken.
fn is_wrong_statement(error: &sqlx::Error) -> bool {
    code(error) == Some(SQLITE_ERROR)
}

/// Of what the statement makes of this key, and no sign that the database fails others.
pub(super) fn is_of_the_row(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        error => matches!(code(error), Some(SQLITE_ERROR | SQLITE_TOOBIG | SQLITE_MISMATCH)),
    }
}

fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    Some(code.parse::<i32>().ok()? & 0xFF)
}

/// By the kind of the value itself, for SQLite's columns hold any.
fn cell(row: &SqliteRow) -> Result<Cell, sqlx::Error> {
    let kind = row.try_get_raw(0)?;
    if kind.is_null() {
        return Ok(Cell::Null);
    }
    Ok(match kind.type_info().name() {
        "INTEGER" => Cell::Integer(row.try_get_unchecked(0)?),
        "REAL" => Cell::Real(row.try_get_unchecked(0)?),
        "TEXT" => Cell::Text(row.try_get_unchecked(0)?),
        _ => Cell::Blob(row.try_get_unchecked(0)?),
    })
}
