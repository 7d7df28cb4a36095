//! Texts of one form or another: names, choices, addresses, paths.

use std::net::SocketAddr;
use std::path::PathBuf;

use figment::value::Value;

use super::{Kind, Spelling, found};
use crate::config::namespace::RateKey;
use crate::model::{Key, Namespace};

/// A text that `check` understands.
pub(in crate::config) fn text<T: 'static>(
    accepted: impl Into<String>,
    check: impl Fn(&str) -> Option<T> + 'static,
) -> Kind<T> {
    Kind::new(accepted, Spelling::Quotable, move |value| match value {
        Value::String(_, text) => check(text).ok_or_else(|| found(value)),
        other => Err(found(other)),
    })
}

/// A text of so many ASCII letters, digits and what `more` allows.
pub(in crate::config) fn name(
    length: std::ops::RangeInclusive<usize>,
    alphabet: &str,
    more: impl Fn(char) -> bool + 'static,
) -> Kind<String> {
    let accepted = format!("{} to {} of {alphabet}", length.start(), length.end());
    text(accepted, move |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || more(c);
        (length.contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
    })
}

/// One of a few words.
pub(in crate::config) fn choice<T: Copy + 'static>(words: &[(&'static str, T)]) -> Kind<T> {
    let words = words.to_vec();
    let accepted: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    text(accepted.join(" or "), move |text| {
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
    })
}

/// An IP address and a port.
pub(in crate::config) fn address() -> Kind<SocketAddr> {
    text("an address and port such as \"127.0.0.1:8080\" or \"[::]:8080\"", |text| text.parse().ok())
}

/// A file.
pub(in crate::config) fn path() -> Kind<PathBuf> {
    text("a file's path", |text| (!text.is_empty()).then(|| PathBuf::from(text)))
}

/// A file, or the empty text for none.
pub(in crate::config) fn optional_path() -> Kind<Option<PathBuf>> {
    text("a file's path, or \"\"", |text| Some((!text.is_empty()).then(|| PathBuf::from(text))))
}

/// The name of an environment variable.
pub(in crate::config) fn variable() -> Kind<String> {
    text("the name of an environment variable", |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        (begins && text.len() <= 256 && text.chars().all(allowed)).then(|| text.to_owned())
    })
}

/// A namespace.
pub(in crate::config) fn namespace() -> Kind<String> {
    text("a namespace, 1 to 64 of a-z, 0-9, `_` and `-`", |text| {
        Namespace::new(text).is_ok().then(|| text.to_owned())
    })
}

/// A source's name: a metric's label.
pub(in crate::config) fn source_name() -> Kind<String> {
    name(1..=64, "a-z, A-Z, 0-9, `_`, `-` and `.`", |c| "_-.".contains(c))
}

/// A key.
pub(in crate::config) fn key() -> Kind<String> {
    text("a key, 1 to 512 bytes", |text| Key::new(text).is_ok().then(|| text.to_owned()))
}

/// An SQL statement. The database says whether it is one.
pub(in crate::config) fn statement() -> Kind<String> {
    text("an SQL statement", |text| (!text.trim().is_empty()).then(|| text.to_owned()))
}

/// What tells one caller from another.
pub(in crate::config) fn rate_key() -> Kind<RateKey> {
    text("\"header:NAME\", \"token\" or \"ip\"", |text| match text {
        "token" => Some(RateKey::Token),
        "ip" => Some(RateKey::Ip),
        other => {
            let name = other.strip_prefix("header:").filter(|name| is_header_name(name))?;
            Some(RateKey::Header(name.to_ascii_lowercase()))
        }
    })
}

/// RFC 9110's `token`.
pub(super) fn is_header_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=256).contains(&name.len()) && name.bytes().all(allowed)
}
