//! PostgreSQL.

mod kind;

use std::str::FromStr;
use std::time::Duration;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{Arguments, Column, ConnectOptions, Either, Encode, Row, Statement, Type, TypeInfo, ValueRef};

use self::kind::Kind;
use super::SqlSettingsError;
use super::cell::Cell;
use super::dialect::{Blame, Dialect, Given, NotOfType};
use super::statement::{Purpose, Role};

/// What a URL may say after its `?`. The client would ignore others, and log them with what they say.
const URL_PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

impl Dialect for Postgres {
    type Signature = Takes;

    const MARK: char = '$';
    // Nothing says when the answer comes that is still on its way, or whether.
    const CLOSED_WHEN_LEFT: bool = true;

    fn options(url: &str, timeout: Duration) -> Result<PgConnectOptions, SqlSettingsError> {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let names = query.split('&').filter_map(|one| one.split('=').next()).filter(|name| !name.is_empty());
        if names.into_iter().any(|name| !URL_PARAMETERS.contains(&name)) {
            return Err(SqlSettingsError::UrlParameter(URL_PARAMETERS.join(", ")));
        }
        let mut options = PgConnectOptions::from_str(url)
            .map_err(SqlSettingsError::Url)?
            // What a load or write has given up is not worked on for much longer, nor waits for a lock.
            .options([("statement_timeout", timeout.as_millis())])
            // For the text of floats, which are not read as text; poolers do not know it.
            .extra_float_digits(None)
            .disable_statement_logging();
        if options.get_application_name().is_none() {
            options = options.application_name("coherd");
        }
        Ok(options)
    }

    fn signature(statement: &PgStatement, purpose: Purpose) -> Result<Takes, SqlSettingsError> {
        let wrong = |what: String, of: &PgTypeInfo, cast: String| {
            let of = of.name().to_lowercase();
            SqlSettingsError::Type { key: purpose.key(), what, cast: cast.replace("TYPE", &of), of }
        };
        let types = statement.parameters().and_then(Either::left).unwrap_or_default();
        let given = types.iter().zip(purpose.roles()).enumerate().map(|(at, (of, role))| {
            let mark = format!("{}{}", Self::MARK, at + 1);
            match (Kind::of(of).filter(|kind| kind.is_given()), role) {
                // Numbers of writes outgrow the smaller ones, and as text 10 is less than 9.
                (Some(Kind::Int8), Role::Seq) => Ok((of.clone(), Kind::Int8)),
                (_, Role::Seq) => Err(wrong(format!("{role} (`{mark}`)"), of, format!("{mark}::bigint"))),
                (Some(kind), _) => Ok((of.clone(), kind)),
                (None, _) => Err(wrong(format!("{role} (`{mark}`)"), of, format!("{mark}::text::TYPE"))),
            }
        });
        let given = given.collect::<Result<_, _>>()?;
        if let Some(column) = statement.columns().first().filter(|_| purpose == Purpose::Select)
            && Kind::of(column.type_info()).is_none()
        {
            return Err(wrong("its column".to_owned(), column.type_info(), "::text".to_owned()));
        }
        Ok(Takes { purpose, given })
    }

    fn parameters(takes: &Takes) -> usize {
        takes.given.len()
    }

    fn arguments(takes: &Takes, given: &[Given<'_>]) -> Result<PgArguments, NotOfType> {
        let mut arguments = PgArguments::default();
        for (given, (of, kind)) in given.iter().zip(&takes.given) {
            let (role, raw) = match given {
                Given::Key(name) => (Role::Key, kind.parameter(name.as_bytes())),
                Given::Value(value) => (Role::Value, kind.parameter(&value.body)),
                Given::Seq(seq) => (Role::Seq, kind.parameter(seq.to_string().as_bytes())),
            };
            let key = takes.purpose.key();
            let raw = raw.ok_or_else(|| {
                let of = of.name().to_lowercase();
                NotOfType { key, what: format!("{role} is none of the type {of}") }
            })?;
            let added = arguments.add(Parameter { of: of.clone(), raw });
            added.map_err(|error| NotOfType { key, what: error.to_string() })?;
        }
        Ok(arguments)
    }

    fn cell(row: &PgRow) -> Result<Cell, sqlx::Error> {
        let value = row.try_get_raw(0)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let raw = value.as_bytes().map_err(sqlx::Error::Decode)?;
        let cell = Kind::of(&value.type_info()).and_then(|kind| kind.cell(raw));
        let unread =
            || format!("a value of the type {} is not read", value.type_info().name().to_lowercase());
        cell.ok_or_else(|| sqlx::Error::Decode(unread().into()))
    }

    fn affected(result: &PgQueryResult) -> u64 {
        result.rows_affected()
    }

    /// By the class of its SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    fn blame(error: &sqlx::Error) -> Blame {
        let code = match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => return Blame::Data,
            sqlx::Error::Database(error) => error.code().unwrap_or_default(),
            _ => return Blame::Connection,
        };
        match &*code {
            // By `statement_timeout`, or by hand.
            "57014" => Blame::Time,
            // A plan that no longer fits its tables, or that a pooler has lost.
            "0A000" | "26000" | "3F000" => Blame::Statement,
            code if code.starts_with("42") => Blame::Statement,
            // Data, constraints, what functions raise, views with a check, limits of the program.
            code if ["21", "22", "23", "38", "39", "44", "54", "P0"]
                .contains(&code.get(..2).unwrap_or("")) =>
            {
                Blame::Data
            }
            // The server shuts down, or has cut this one off.
            "57P01" | "57P02" => Blame::Connection,
            // 25006 too: a replica that will be promoted, or left.
            _ => Blame::Database,
        }
    }

    fn told(error: &sqlx::Error) -> String {
        let Some(said) = error.as_database_error() else { return crate::origin::chain(error) };
        let (code, message) = (said.code().unwrap_or_default(), said.message());
        // Messages of this class quote the data at their end.
        let end = message.find(": \"").filter(|_| code.starts_with("22")).unwrap_or(message.len());
        format!("{} ({code})", &message[..end])
    }
}

/// The types of the parameters.
pub(super) struct Takes {
    purpose: Purpose,
    given: Vec<(PgTypeInfo, Kind)>,
}

/// A parameter as its type stands on the wire.
struct Parameter {
    of: PgTypeInfo,
    raw: Vec<u8>,
}

impl Type<Postgres> for Parameter {
    /// Never asked: each says its own.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("unknown")
    }
}

impl Encode<'_, Postgres> for Parameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.raw);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.of.clone())
    }

    fn size_hint(&self) -> usize {
        self.raw.len()
    }
}
