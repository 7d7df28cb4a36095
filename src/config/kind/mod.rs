//! Kinds of value: what a key accepts, how it is spelt, and how it is shown again.

mod number;
mod template;
mod text;
mod url;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use figment::value::Value;

use super::secret::{self, HIDDEN, Secret};

pub(super) use number::{duration, flag, float, int, size};
pub(super) use template::{dependency, row_template, tag_template};
pub(super) use text::{
    address, choice, key, name, namespace, optional_path, path, rate_key, source_name, statement, text,
    variable,
};
pub(super) use url::{backend_url, collector_url, http_url, postgres_url, sql_url};

/// Reads a value, or says what was found in its place.
type Parse<T> = Box<dyn Fn(&Value) -> Result<T, String>>;

/// What a key accepts.
pub(super) struct Kind<T> {
    /// In words, for faults.
    pub(super) accepted: String,
    parse: Parse<T>,
    spelling: Spelling,
    show: Show,
}

/// How the text of a variable or flag becomes a value: a file says its types, these do not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// As it stands, whatever it looks like: a password of digits is a password.
    Verbatim,
    /// As it stands, or in TOML's quotes.
    Quotable,
    /// As TOML: numbers, lists.
    Toml,
}

/// How a value is shown again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Plain,
    /// Without its credentials.
    Url,
    /// Without the values of those that sound like credentials.
    Headers,
    Never,
}

impl<T: 'static> Kind<T> {
    fn new(
        accepted: impl Into<String>,
        spelling: Spelling,
        parse: impl Fn(&Value) -> Result<T, String> + 'static,
    ) -> Self {
        Self { accepted: accepted.into(), parse: Box::new(parse), spelling, show: Show::Plain }
    }

    fn shown(self, show: Show) -> Self {
        Self { show, ..self }
    }

    /// Reads `value`; `loose` if it is the text of a variable or flag. With it comes how it is shown.
    pub(super) fn read(&self, value: &Value, loose: bool) -> Result<(T, String), String> {
        let typed = match value {
            Value::String(_, text) if loose => self.typed(text),
            _ => None,
        };
        let value = typed.as_ref().unwrap_or(value);
        (self.parse)(value).map(|parsed| (parsed, self.render(value)))
    }

    fn typed(&self, text: &str) -> Option<Value> {
        let quoted = text.starts_with('"') || text.starts_with('\'');
        match self.spelling {
            Spelling::Verbatim => None,
            Spelling::Quotable if !quoted => None,
            Spelling::Quotable | Spelling::Toml => toml_value(text),
        }
    }

    fn render(&self, value: &Value) -> String {
        match (self.show, value) {
            (Show::Plain, value) => rendered(value),
            (Show::Url, Value::String(_, url)) => quoted(&secret::redacted(url)),
            (Show::Headers, Value::Dict(_, headers)) => {
                let shown = headers.iter().map(|(name, value)| {
                    let hidden = secret::sounds_secret(name);
                    (name.clone(), if hidden { Value::from(HIDDEN) } else { value.clone() })
                });
                rendered(&Value::from(shown.collect::<BTreeMap<_, _>>()))
            }
            _ => quoted(HIDDEN),
        }
    }
}

/// A password: any text but the empty one. A number in a file is taken for a mistake, with no word of its value.
pub(super) fn secret() -> Kind<Secret> {
    Kind::new("a text that is not empty, in quotes", Spelling::Verbatim, |value| match value {
        Value::String(_, text) if !text.is_empty() => Ok(Secret::from(text.clone())),
        Value::String(..) => Err("it is empty".to_owned()),
        _ => Err("it is no text".to_owned()),
    })
    .shown(Show::Never)
}

/// A list of what `each` accepts.
pub(super) fn list<T: 'static>(each: Kind<T>, count: RangeInclusive<usize>) -> Kind<Vec<T>> {
    let accepted = format!("a list of {} to {}: [{}, …]", count.start(), count.end(), each.accepted);
    Kind::new(accepted, Spelling::Toml, move |value| match value {
        Value::Array(_, items) if !count.contains(&items.len()) => Err(format!("it has {}", items.len())),
        Value::Array(_, items) => items.iter().map(|item| (each.parse)(item)).collect(),
        other => Err(found(other)),
    })
}

/// Request headers, by lower-case name. What they say is never repeated.
pub(super) fn headers() -> Kind<BTreeMap<String, Secret>> {
    let accepted = "a table of header names and texts: { accept = \"application/json\" }, without those that \
                    coherd sets by itself";
    Kind::new(accepted, Spelling::Toml, |value| {
        let Value::Dict(_, headers) = value else { return Err("it is no table".to_owned()) };
        headers.iter().map(|(name, value)| header(name, value)).collect()
    })
    .shown(Show::Headers)
}

/// The connection's own, and those that would turn an answer into something else.
const RESERVED_HEADERS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn header(name: &str, value: &Value) -> Result<(String, Secret), String> {
    let lower = name.to_ascii_lowercase();
    if !text::is_header_name(name) {
        return Err(format!("`{name}` is no header name"));
    }
    if RESERVED_HEADERS.contains(&lower.as_str()) {
        return Err(format!("`{name}` is set by coherd itself"));
    }
    let visible = |text: &str| text.bytes().all(|b| b == b'\t' || (0x20..0x7F).contains(&b));
    match value {
        Value::String(_, text) if visible(text) => Ok((lower, Secret::from(text.clone()))),
        _ => Err(format!("`{name}` is no text of visible ASCII")),
    }
}

/// What stands in place of what is wanted, in words. Not for secrets: short texts and numbers are repeated.
fn found(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("found `{}`", shortened(text)),
        Value::Char(_, char) => format!("found `{char}`"),
        Value::Bool(_, flag) => format!("found `{flag}`"),
        Value::Num(..) => format!("found `{}`", rendered(value)),
        Value::Empty(..) => "found nothing".to_owned(),
        Value::Dict(..) => "found a table".to_owned(),
        Value::Array(..) => "found a list".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let short: String = text.chars().take(CHARS_MAX).collect();
    format!("{short}…")
}

/// `text` as one TOML value; `None` if it is none.
pub(super) fn toml_value(text: &str) -> Option<Value> {
    let table: toml::Table = format!("value = {text}").parse().ok()?;
    // More than one key: the text had a line break, and is not one value.
    let only = (table.len() == 1).then(|| table.get("value"))?;
    Value::serialize(only?).ok()
}

/// A value as TOML on one line.
fn rendered(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| quoted(HIDDEN), |value| value.to_string())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
