//! What a column holds, and the value it stands for and is made from, whichever the database.

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::model::{Value, etag_of};

/// What is text below `application/`, or as a suffix (RFC 6838); the last is what `curl -d` calls whatever it sends.
const TEXTUAL: [&str; 8] =
    ["json", "ndjson", "xml", "yaml", "toml", "javascript", "graphql", "x-www-form-urlencoded"];

/// What a value is stored as, so that [`Cell::into_value`] gives its bytes again.
#[derive(Debug, PartialEq)]
pub(super) enum Stored<'a> {
    Text(&'a str),
    Blob(&'a [u8]),
}

impl<'a> Stored<'a> {
    /// Text where the value is said to be, or nothing is said, and it is.
    pub(super) fn of(value: &'a Value) -> Self {
        let text = std::str::from_utf8(&value.body).ok();
        // Text with a NUL is text to no database: its functions end there.
        match text.filter(|text| is_textual(value.content_type.as_deref()) && !text.contains('\0')) {
            Some(text) => Self::Text(text),
            None => Self::Blob(&value.body),
        }
    }
}

/// The one column of the one row.
#[derive(Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    /// In the database's eyes; it need not be UTF-8.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Cell {
    /// The value; NULL is none. Numbers are their decimal text, text is JSON where it reads as JSON.
    pub(super) fn into_value(self) -> Option<Value> {
        let (body, content_type) = match self {
            Self::Null => return None,
            Self::Blob(bytes) => (bytes, "application/octet-stream"),
            Self::Text(bytes) => spelt(bytes),
            Self::Integer(number) => spelt(number.to_string().into_bytes()),
            // `{:?}` keeps the point of a whole number, as databases write it: 1.0.
            Self::Real(number) => spelt(format!("{number:?}").into_bytes()),
        };
        let etag = Some(etag_of(&body));
        Some(Value {
            body: Bytes::from(body),
            content_type: Some(content_type.into()),
            etag,
            last_modified: None,
        })
    }
}

fn spelt(text: Vec<u8>) -> (Vec<u8>, &'static str) {
    let content_type = if serde_json::from_slice::<IgnoredAny>(&text).is_ok() {
        "application/json"
    } else if std::str::from_utf8(&text).is_ok() {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    };
    (text, content_type)
}

/// Whether a media type is that of text; none at all may be.
fn is_textual(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/').unwrap_or_default();
    let suffix = subtype.rsplit_once('+').map(|(_, suffix)| suffix);
    kind == "text"
        || suffix.is_some_and(|suffix| TEXTUAL.contains(&suffix))
        || kind == "application" && TEXTUAL.contains(&subtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_text_where_it_is_said_to_be_and_is() {
        let value = |content_type: Option<&str>, body: &'static [u8]| {
            let content_type = content_type.map(Into::into);
            Value { body: body.into(), content_type, ..Value::default() }
        };
        for textual in [
            None,
            Some("text/plain"),
            Some("Text/HTML; charset=utf-8"),
            Some("application/json"),
            Some("application/problem+json"),
            Some("image/svg+xml"),
            Some("application/x-www-form-urlencoded"),
        ] {
            assert_eq!(Stored::of(&value(textual, b"{}")), Stored::Text("{}"), "{textual:?}");
            for body in [&b"\xff"[..], b"a\0b"] {
                assert_eq!(Stored::of(&value(textual, body)), Stored::Blob(body), "{textual:?}");
            }
        }
        for other in ["application/octet-stream", "image/png", "application/cbor", "json", ""] {
            assert_eq!(Stored::of(&value(Some(other), b"{}")), Stored::Blob(b"{}"), "{other}");
        }
    }

    fn value(cell: Cell) -> Option<(Vec<u8>, String)> {
        cell.into_value().map(|value| (value.body.to_vec(), value.content_type.unwrap().to_string()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "to be compared with what may be an absence")]
    fn pair(body: &[u8], content_type: &str) -> Option<(Vec<u8>, String)> {
        Some((body.to_vec(), content_type.to_owned()))
    }

    #[test]
    fn each_kind_has_its_bytes_and_its_type() {
        let text = |text: &[u8]| Cell::Text(text.to_vec());
        let json = "application/json";
        let plain = "text/plain; charset=utf-8";
        let bytes = "application/octet-stream";
        assert_eq!(value(Cell::Null), None);
        assert_eq!(value(Cell::Integer(i64::MIN)), pair(b"-9223372036854775808", json));
        assert_eq!(value(Cell::Real(1.0)), pair(b"1.0", json));
        assert_eq!(value(Cell::Real(f64::INFINITY)), pair(b"inf", plain));
        assert_eq!(value(text(br#"{"id": 1}"#)), pair(br#"{"id": 1}"#, json));
        assert_eq!(value(text(br#"{"id": 1"#)), pair(br#"{"id": 1"#, plain));
        assert_eq!(value(text(b"")), pair(b"", plain));
        assert_eq!(value(text(b"\xff")), pair(b"\xff", bytes));
        assert_eq!(value(Cell::Blob(b"1".to_vec())), pair(b"1", bytes));
        // Deeper than the parser goes: text, and no stack is used up.
        let deep = "[".repeat(100_000);
        assert_eq!(value(text(deep.as_bytes())), pair(deep.as_bytes(), plain));
    }
}
