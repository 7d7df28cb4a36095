//! Paths and query strings, percent-decoded strictly.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::model::Namespace;
use crate::write::Mode;

/// Longest `wait=all` that may be asked for.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How long a lock is held where nothing is said.
const LOCK_TTL: Duration = Duration::from_secs(10);
/// Shorter, and it is over before its holder knows of it.
const LOCK_TTL_MIN: Duration = Duration::from_millis(10);
/// Longer, and a holder that died keeps everybody out for a day.
const LOCK_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest wait for a lock: connections are not held for ever.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(600);

/// Writes that are shown where nothing is said, and at the most.
const LETTERS: usize = 100;
const LETTERS_MAX: usize = 1000;

/// What `POST /v1/invalidate` asks for in its query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvalidateOptions {
    /// `wait=all`: answer once no instance can answer with anything older.
    pub wait: Option<Wait>,
    /// `exact=true`: refuse prefixes that are not on a boundary.
    pub exact: bool,
    /// `soft=true`, for an invalidation by headers.
    pub soft: bool,
}

/// For how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As long as it takes at the most.
    Default,
    /// At most so long.
    AtMost(Duration),
}

/// Decodes `%XX`; `None` where a `%` is followed by anything else.
pub(super) fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let hex = rest.get(at + 1..at + 3)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    Some(percent_decode_str(text).into())
}

/// The pairs of a query, not decoded; a name without `=` has an empty value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The query of `POST /v1/invalidate`; what is not known is refused, so that a misspelt `wait` is seen.
pub(super) fn invalidate_options(query: &str) -> Result<InvalidateOptions, String> {
    let mut options = InvalidateOptions::default();
    let mut rest = Vec::new();
    for (name, value) in pairs(query) {
        match (name, value) {
            ("wait" | "timeout", _) => rest.push((name, value)),
            ("exact", text) => options.exact = flag("exact", text)?,
            ("soft", text) => options.soft = flag("soft", text)?,
            (other, _) => return Err(unknown(other, "wait, timeout, exact and soft")),
        }
    }
    options.wait = wait(rest.into_iter())?;
    Ok(options)
}

/// What a PUT or DELETE asks for in its query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// `mode=through` or `behind`: not what the namespace says.
    pub mode: Option<Mode>,
    /// `wait=all`: answer once no instance can answer with anything older.
    pub wait: Option<Wait>,
}

/// The query of PUT and DELETE.
pub(super) fn write_options(query: &str) -> Result<WriteOptions, String> {
    let mut options = WriteOptions::default();
    let mut rest = Vec::new();
    for (name, value) in pairs(query) {
        match (name, value) {
            ("mode", "through") => options.mode = Some(Mode::Through),
            ("mode", "behind") => options.mode = Some(Mode::Behind),
            ("mode", "invalidate") => options.mode = Some(Mode::Invalidate),
            ("mode", _) => return Err("`mode` is `through`, `behind` or `invalidate`".to_owned()),
            ("wait" | "timeout", _) => rest.push((name, value)),
            (other, _) => return Err(unknown(other, "mode, wait and timeout")),
        }
    }
    options.wait = wait(rest.into_iter())?;
    Ok(options)
}

/// `wait` and `timeout`.
fn wait<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Option<Wait>, String> {
    let (mut wait, mut timeout) = (None, None);
    for (name, value) in pairs {
        match (name, value) {
            ("wait", "all") => wait = Some(Wait::Default),
            ("wait", "none") => wait = None,
            ("wait", _) => return Err("`wait` is `none` or `all`".to_owned()),
            (_, text) => timeout = Some(wait_time(text)?),
        }
    }
    match (wait, timeout) {
        (Some(_), Some(timeout)) => Ok(Some(Wait::AtMost(timeout))),
        (None, Some(_)) => Err("`timeout` goes with `wait=all`".to_owned()),
        (wait, None) => Ok(wait),
    }
}

/// Which writes somebody looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LettersOptions {
    /// Of one namespace only.
    pub namespace: Option<Namespace>,
    /// At most so many.
    pub limit: usize,
}

/// The query of a look at writes, `?namespace=NS&limit=100`.
pub(super) fn letters_options(query: &str) -> Result<LettersOptions, String> {
    let mut options = LettersOptions { namespace: None, limit: LETTERS };
    for (name, value) in pairs(query) {
        match name {
            "namespace" => {
                options.namespace = Some(Namespace::new(value).map_err(|error| error.to_string())?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LETTERS_MAX).contains(limit));
                options.limit = limit.ok_or_else(|| format!("`limit` is a number, 1 to {LETTERS_MAX}"))?;
            }
            other => return Err(unknown(other, "namespace and limit")),
        }
    }
    Ok(options)
}

/// For how long a lock is taken, and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockOptions {
    /// How long it is held.
    pub ttl: Duration,
    /// How long to wait for it.
    pub wait: Duration,
}

/// The query of a request for a lock, `?ttl=10s&wait=0s`. Where it is only extended there is nothing to wait for.
pub(super) fn lock_options(query: &str, waits: bool) -> Result<LockOptions, String> {
    let mut options = LockOptions { ttl: LOCK_TTL, wait: Duration::ZERO };
    for (name, value) in pairs(query) {
        match name {
            "ttl" => options.ttl = within("ttl", value, LOCK_TTL_MIN..=LOCK_TTL_MAX)?,
            "wait" if waits => options.wait = within("wait", value, Duration::ZERO..=LOCK_WAIT_MAX)?,
            other => return Err(unknown(other, if waits { "ttl and wait" } else { "ttl" })),
        }
    }
    Ok(options)
}

/// The query of PURGE: whether it is soft.
pub(super) fn purge_is_soft(query: &str) -> Result<bool, String> {
    let mut soft = false;
    for (name, value) in pairs(query) {
        match name {
            "soft" => soft = flag("soft", value)?,
            other => return Err(unknown(other, "soft")),
        }
    }
    Ok(soft)
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{name}` is `true` or `false`")),
    }
}

fn within(name: &str, text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| range.contains(time));
    time.ok_or_else(|| {
        let (from, to) =
            (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        format!("`{name}` is a duration such as `3s`, {from} to {to}")
    })
}

fn wait_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero() && *time <= WAIT_MAX);
    time.ok_or_else(|| {
        format!("`timeout` is a duration such as `3s`, at most {}", humantime::format_duration(WAIT_MAX))
    })
}

fn unknown(name: &str, known: &str) -> String {
    let name: String = name.chars().take(64).collect();
    format!("`{name}` is not understood here, only {known}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percent_decoding_is_strict() {
        assert_eq!(decode("a%2Fb%25%ff").unwrap().as_ref(), b"a/b%\xFF");
        for bad in ["%", "%1", "a%zz", "%%20", "%2"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_query_of_an_invalidation() {
        let options = |wait, exact, soft| Ok(InvalidateOptions { wait, exact, soft });
        assert_eq!(invalidate_options(""), options(None, false, false));
        assert_eq!(invalidate_options("wait=none&soft=1"), options(None, false, true));
        assert_eq!(invalidate_options("wait=all&exact=true"), options(Some(Wait::Default), true, false));
        let three = Some(Wait::AtMost(Duration::from_secs(3)));
        assert_eq!(invalidate_options("timeout=3s&wait=all"), options(three, false, false));
        for bad in
            ["wait=some", "wiat=all", "timeout=3s", "wait=all&timeout=3", "wait=all&timeout=0s", "exact=yes"]
        {
            assert!(invalidate_options(bad).is_err(), "{bad}");
        }
        assert!(invalidate_options("wait=all&timeout=1y").is_err());
        assert_eq!(purge_is_soft("soft=true"), Ok(true));
        assert_eq!(purge_is_soft(""), Ok(false));
        assert!(purge_is_soft("sfot=true").is_err());
    }

    #[test]
    fn the_query_of_a_lock() {
        let options = |ttl, wait| {
            Ok(LockOptions { ttl: Duration::from_millis(ttl), wait: Duration::from_millis(wait) })
        };
        assert_eq!(lock_options("", true), options(10_000, 0));
        assert_eq!(lock_options("ttl=10ms&wait=10m", true), options(10, 600_000));
        assert_eq!(lock_options("ttl=24h&wait=0s", true), options(86_400_000, 0));
        assert_eq!(lock_options("ttl=1s500ms", false), options(1500, 0));
        for bad in ["ttl=9ms", "ttl=25h", "ttl=10", "ttl=", "ttl=-1s", "wait=601s", "wait=x", "tll=1s"] {
            assert!(lock_options(bad, true).is_err(), "{bad}");
        }
        assert!(lock_options("wait=0s", false).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_or_refused(text in ".{0,64}") {
            if let Some(bytes) = decode(&text) {
                prop_assert!(bytes.len() <= text.len());
            }
            if let Ok(options) = invalidate_options(&text) {
                prop_assert!(options.wait != Some(Wait::AtMost(Duration::ZERO)));
            }
        }

        #[test]
        fn whatever_is_encoded_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = percent_encoding::percent_encode(&bytes, percent_encoding::NON_ALPHANUMERIC).to_string();
            let decoded = decode(&text).unwrap();
            prop_assert_eq!(decoded.as_ref(), bytes);
        }
    }
}
