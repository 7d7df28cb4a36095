//! SQLite.

use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteQueryResult, SqliteRow, SqliteStatement,
};
use sqlx::{Arguments, ConnectOptions, Either, Row, Statement, TypeInfo, ValueRef};

use super::SqlSettingsError;
use super::cell::{Cell, Stored};
use super::dialect::{Blame, Dialect, Given, NotOfType};
use super::statement::Purpose;

/// SQLite's result codes (<https://sqlite.org/rescode.html>), the low byte of the extended ones: a statement that is
/// wrong, or a function in it that fails on what it is given.
const SQLITE_ERROR: i32 = 1;
/// A value or text over SQLite's own limit.
const SQLITE_TOOBIG: i32 = 18;
/// A value that the table does not take.
const SQLITE_CONSTRAINT: i32 = 19;
/// A value of another type than the statement needs.
const SQLITE_MISMATCH: i32 = 20;

/// How messages begin or go on that are of tables, and not of what a function was given: both have one code.
const OF_TABLES: [&str; 3] = ["no such ", "has no column named", "syntax error"];

impl Dialect for Sqlite {
    type Signature = Takes;

    const MARK: char = '?';
    // It would be closed no sooner, and the next one opened beside it.
    const CLOSED_WHEN_LEFT: bool = false;

    fn options(url: &str, timeout: Duration) -> Result<SqliteConnectOptions, SqlSettingsError> {
        Ok(SqliteConnectOptions::from_str(url)
            .map_err(SqlSettingsError::Url)?
            // Short of the time-out, so that a load says that the database was locked and not only that time was up.
            .busy_timeout(timeout / 4 * 3)
            .disable_statement_logging())
    }

    fn signature(statement: &SqliteStatement, purpose: Purpose) -> Result<Takes, SqlSettingsError> {
        let parameters = statement.parameters().and_then(Either::right).unwrap_or_default();
        Ok(Takes { purpose, parameters })
    }

    fn parameters(takes: &Takes) -> usize {
        takes.parameters
    }

    fn arguments(takes: &Takes, given: &[Given<'_>]) -> Result<SqliteArguments, NotOfType> {
        let mut arguments = SqliteArguments::default();
        for given in given {
            let key = takes.purpose.key();
            let added = match given {
                Given::Key(name) => arguments.add((*name).to_owned()),
                Given::Value(value) => match Stored::of(value) {
                    Stored::Text(text) => arguments.add(text.to_owned()),
                    Stored::Blob(bytes) => arguments.add(bytes.to_vec()),
                },
                Given::Seq(seq) => match i64::try_from(*seq) {
                    Ok(seq) => arguments.add(seq),
                    Err(error) => Err(error.into()),
                },
            };
            added.map_err(|error| NotOfType { key, what: error.to_string() })?;
        }
        Ok(arguments)
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

    fn affected(result: &SqliteQueryResult) -> u64 {
        result.rows_affected()
    }

    fn blame(error: &sqlx::Error) -> Blame {
        let error = match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => return Blame::Data,
            sqlx::Error::Database(error) => error,
            _ => return Blame::Connection,
        };
        let code = error.code().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xFF);
        match code {
            Some(SQLITE_ERROR) if OF_TABLES.iter().any(|text| error.message().contains(text)) => {
                Blame::Statement
            }
            Some(SQLITE_ERROR | SQLITE_TOOBIG | SQLITE_CONSTRAINT | SQLITE_MISMATCH) => Blame::Data,
            _ => Blame::Database,
        }
    }
}

/// So many parameters, of any type.
pub(super) struct Takes {
    purpose: Purpose,
    parameters: usize,
}
