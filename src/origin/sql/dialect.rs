//! What sets one database apart from another.

use std::time::Duration;

use sqlx::Connection;

use super::SqlSettingsError;
use super::cell::Cell;
use super::statement::Purpose;
use crate::model::{Seq, Value};

/// A kind of database: how it is reached, what it is given, and what it means by its answers.
pub(super) trait Dialect: sqlx::Database {
    /// What a statement takes and gives, as the database told.
    type Signature: Send + Sync;

    /// Stands before the number of a parameter.
    const MARK: char;
    /// Whether a connection is closed that was left in the middle of a statement. Else it is held until that has ended.
    const CLOSED_WHEN_LEFT: bool;

    /// Where the database is. A statement is given up within `timeout`, as far as the database does that by itself.
    fn options(
        url: &str,
        timeout: Duration,
    ) -> Result<<Self::Connection as Connection>::Options, SqlSettingsError>;

    /// What a statement takes, if that can be given and what it gives be read. Number of parameters and columns have
    /// been checked.
    fn signature(statement: &Self::Statement, purpose: Purpose) -> Result<Self::Signature, SqlSettingsError>;

    /// How many parameters it takes.
    fn parameters(signature: &Self::Signature) -> usize;

    /// The parameters, in order, each as the statement takes it; as many as it takes.
    fn arguments(signature: &Self::Signature, given: &[Given<'_>]) -> Result<Self::Arguments, NotOfType>;

    /// The first column.
    fn cell(row: &Self::Row) -> Result<Cell, sqlx::Error>;

    /// How many rows were written.
    fn affected(result: &Self::QueryResult) -> u64;

    /// What an error is about.
    fn blame(error: &sqlx::Error) -> Blame;

    /// An error in one line, without what the statement was given.
    fn told(error: &sqlx::Error) -> String {
        crate::origin::chain(error)
    }
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    Key(&'a str),
    Value(&'a Value),
    Seq(Seq),
}

/// What a database's error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The statement: it is wrong, or the tables are not those that it was written for.
    Statement,
    /// What the statement was given, or finds in this row: the database works.
    Data,
    /// It took too long.
    Time,
    /// The database: locked, read-only, full.
    Database,
    /// The connection: it has gone, or none can be made.
    Connection,
}

/// A key, value or number that is none of the type that a statement takes.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {what}")]
pub(super) struct NotOfType {
    /// The statement's key in the configuration.
    pub(super) key: &'static str,
    /// What is not of which type.
    pub(super) what: String,
}
