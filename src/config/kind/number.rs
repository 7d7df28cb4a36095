//! Numbers, durations and sizes, each within a range.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use figment::value::Value;

use super::{Kind, Spelling, found};

/// `true` or `false`.
pub(in crate::config) fn flag() -> Kind<bool> {
    Kind::new("true or false", Spelling::Toml, |value| value.to_bool().ok_or_else(|| found(value)))
}

/// A whole number.
pub(in crate::config) fn int<T>(range: RangeInclusive<T>) -> Kind<T>
where
    T: TryFrom<i128> + PartialOrd + Display + 'static,
{
    let accepted = format!("a whole number, {} to {}", range.start(), range.end());
    Kind::new(accepted, Spelling::Toml, move |value| {
        let number = value.to_i128().or_else(|| value.to_u128().and_then(|n| i128::try_from(n).ok()));
        number
            .and_then(|number| T::try_from(number).ok())
            .filter(|n| range.contains(n))
            .ok_or_else(|| found(value))
    })
}

/// A number that may have a fraction.
pub(in crate::config) fn float(range: RangeInclusive<f64>) -> Kind<f64> {
    let accepted = format!("a number, {} to {}", range.start(), range.end());
    Kind::new(accepted, Spelling::Toml, move |value| {
        let whole = || value.to_i128().and_then(|n| i32::try_from(n).ok()).map(f64::from);
        value.to_f64().or_else(whole).filter(|n| range.contains(n)).ok_or_else(|| found(value))
    })
}

/// A duration as people spell it, between two of the same spelling.
pub(in crate::config) fn duration(least: &str, most: &str) -> Kind<Duration> {
    let bound =
        |text| humantime::parse_duration(text).expect("bounds are written in the code and read by tests");
    let range = bound(least)..=bound(most);
    let accepted = format!("a duration in quotes such as \"250ms\", \"2s\" or \"5m\", {least} to {most}");
    Kind::new(accepted, Spelling::Quotable, move |value| {
        let parsed = value.as_str().and_then(|text| humantime::parse_duration(text.trim()).ok());
        parsed.filter(|duration| range.contains(duration)).ok_or_else(|| found(value))
    })
}

/// A number of bytes, plain or with a unit, between two such.
pub(in crate::config) fn size(least: &str, most: &str) -> Kind<u64> {
    let bound = |text| bytes(text).expect("bounds are written in the code and read by tests");
    let range = bound(least)..=bound(most);
    let accepted = format!("a size such as \"64MiB\" or a number of bytes, {least} to {most}");
    Kind::new(accepted, Spelling::Quotable, move |value| {
        let parsed = match value {
            Value::String(_, text) => bytes(text.trim()),
            other => other.to_i128().and_then(|n| u64::try_from(n).ok()),
        };
        parsed.filter(|size| range.contains(size)).ok_or_else(|| found(value))
    })
}

fn bytes(text: &str) -> Option<u64> {
    text.parse::<ByteSize>().ok().map(|size| size.as_u64())
}
