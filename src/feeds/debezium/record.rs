//! A change record as the sink wrote it: in either message format, with or without schemas.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::coherence::form::FormError;

/// What one entry of a stream is about.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// The columns of the message's key, empty where it has none.
    pub(super) key: Row<'a>,
    pub(super) body: Body<'a>,
}

/// What has happened.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// To a row, or to a whole table.
    Change(Change<'a>),
    /// What follows the deletion of a row, for those who compact: the key alone.
    Tombstone,
    /// Nothing to a row: a change of the schema, a heartbeat, the beginning or end of a transaction, a message.
    Other,
}

/// A change.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) op: Op,
    /// As it was, as far as the database says.
    pub(super) before: Option<Row<'a>>,
    /// As it is.
    pub(super) after: Option<Row<'a>>,
    pub(super) source: Origin<'a>,
}

/// Which kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Create,
    Update,
    Delete,
    /// A row that a snapshot found.
    Read,
    Truncate,
}

/// Where a change took place. MySQL has databases in place of schemas, MongoDB collections in place of tables.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Origin<'a> {
    #[serde(borrow, default)]
    pub(super) db: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) schema: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "collection")]
    pub(super) table: Option<Cow<'a, str>>,
}

/// Columns as they were written. Only those that are asked for are read.
#[derive(Debug, Default)]
pub(super) struct Row<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Row<'a> {
    /// An object's; nothing that is none has columns.
    fn of(raw: &'a RawValue) -> Self {
        Self(serde_json::from_str::<BTreeMap<Key<'a>, &'a RawValue>>(raw.get()).map_or_else(
            |_| BTreeMap::new(),
            |columns| columns.into_iter().map(|(name, value)| (name.0, value)).collect(),
        ))
    }

    /// A column as a text: numbers as they were written. `None`: it is not there, null, or no single value.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        let raw = self.0.get(column)?.get();
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(raw.to_owned()),
        }
    }
}

/// A column's name, borrowed where it has no escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// With schemas, what is meant is beside its schema.
#[derive(Deserialize)]
struct Enveloped<'a> {
    #[serde(rename = "schema")]
    _schema: IgnoredAny,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Every field by which the kinds of records are told apart.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    /// Of a change of the schema.
    #[serde(borrow, default, rename = "tableChanges")]
    table_changes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ddl: Option<&'a RawValue>,
    /// `BEGIN` or `END` of a transaction.
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    /// All that a heartbeat has.
    #[serde(borrow, default)]
    ts_ms: Option<&'a RawValue>,
}

/// Reads an entry's fields. `null` stands for a key or value that is null.
pub(super) fn read<'a>(fields: &'a [(Bytes, Bytes)], null: &str) -> Result<Record<'a>, FormError> {
    let (key, value) = message(fields)?;
    let key = payload(text(key)?, null).ok().flatten().map_or_else(Row::default, Row::of);
    let body = match payload(text(value)?, null)? {
        None => Body::Tombstone,
        Some(payload) => body(payload)?,
    };
    Ok(Record { key, body })
}

/// The sink's `compact` format has one field, the key, with the value; `extended` has `key` and `value`, and headers beside.
fn message(fields: &[(Bytes, Bytes)]) -> Result<(&Bytes, &Bytes), FormError> {
    let named = |name: &[u8]| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    match (named(b"key"), named(b"value"), fields) {
        (Some(key), Some(value), _) | (_, _, [(key, value)]) => Ok((key, value)),
        _ => Err(FormError::malformed(&"neither of the sink's message formats, compact and extended")),
    }
}

fn text(bytes: &Bytes) -> Result<&str, FormError> {
    std::str::from_utf8(bytes).map_err(|error| FormError::malformed(&error))
}

/// What is meant: without schema. `None`: null.
fn payload<'a>(text: &'a str, null: &str) -> Result<Option<&'a RawValue>, FormError> {
    if text == null || text.is_empty() {
        return Ok(None);
    }
    if let Ok(enveloped) = serde_json::from_str::<Enveloped<'a>>(text)
        && is_object_or_null(enveloped.payload)
    {
        return Ok(enveloped.payload);
    }
    serde_json::from_str::<Option<&RawValue>>(text).map_err(|error| FormError::malformed(&error))
}

fn is_object_or_null(payload: Option<&RawValue>) -> bool {
    payload.is_none_or(|raw| raw.get().starts_with('{'))
}

fn body(payload: &RawValue) -> Result<Body<'_>, FormError> {
    let fields: Fields<'_> =
        serde_json::from_str(payload.get()).map_err(|error| FormError::malformed(&error))?;
    let op = match fields.op.as_deref() {
        Some("c") => Op::Create,
        Some("u") => Op::Update,
        Some("d") => Op::Delete,
        Some("r") => Op::Read,
        Some("t") => Op::Truncate,
        // A message that an application put into the database's log.
        Some("m") => return Ok(Body::Other),
        Some(other) => {
            let other: String = other.chars().take(16).collect();
            return Err(FormError::malformed(&format_args!("`op` is `{other}`")));
        }
        None => {
            let other = [fields.table_changes, fields.ddl, fields.status, fields.ts_ms];
            let row = fields.before.is_some() || fields.after.is_some();
            if !row && other.iter().any(Option::is_some) {
                return Ok(Body::Other);
            }
            return Err(FormError::malformed(&"`op` is missing: no change record"));
        }
    };
    let source = fields.source.map(|raw| serde_json::from_str(raw.get())).transpose();
    let source = source.map_err(|error| FormError::malformed(&error))?.unwrap_or_default();
    Ok(Body::Change(Change {
        op,
        before: fields.before.map(Row::of),
        after: fields.after.map(Row::of),
        source,
    }))
}
