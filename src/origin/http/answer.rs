//! What an HTTP answer means: its status, and what its header says of the value. No I/O.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, RETRY_AFTER, VARY,
};
use tracing::debug;

use crate::model::{CacheControl, Keep, Stated, Tag, Value, delta_seconds, etag_of, tags as spelling};

/// The longest `Content-Type`, `ETag` and `Last-Modified` that is kept, in bytes; a longer one is left out.
const KEPT_HEADER_BYTES_MAX: usize = 1024;
/// The longest `Retry-After` that counts.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The body is the value.
    Value,
    /// The value is empty.
    Empty,
    /// There is none.
    Absent,
    /// The copy at hand still stands.
    NotModified,
    /// Neither.
    Failure {
        /// Another attempt may fare better.
        temporary: bool,
    },
}

/// What `status` says to a request that was conditional or not.
pub(super) fn meaning(status: StatusCode, conditional: bool) -> Meaning {
    match status.as_u16() {
        204 | 205 => Meaning::Empty,
        // A part of a value that was asked for whole.
        206 => Meaning::Failure { temporary: false },
        200..=299 => Meaning::Value,
        304 if conditional => Meaning::NotModified,
        404 | 410 => Meaning::Absent,
        408 | 429 | 500 | 502 | 503 | 504 => Meaning::Failure { temporary: true },
        _ => Meaning::Failure { temporary: false },
    }
}

/// How answers are read.
pub(super) struct Reading {
    /// `cache_control = "honour"`.
    pub(super) honour: bool,
    /// In bytes.
    pub(super) max_value: usize,
    /// The longest time that counts.
    pub(super) ttl_max: Duration,
}

/// What an answer's header says of how long it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) lifetime: Stated,
    pub(super) age: Duration,
    pub(super) keep: Keep,
}

impl Reading {
    pub(super) fn terms(&self, headers: &HeaderMap) -> Terms {
        if !self.honour {
            return Terms::default();
        }
        let control = CacheControl::parse(lines(headers, &CACHE_CONTROL));
        let mut lifetime = control.stated();
        lifetime.fresh = lifetime.fresh.or_else(|| expires_in(headers));
        let keep = if control.may_store() && !varies_by_all(headers) { Keep::Yes } else { Keep::NoStore };
        Terms { lifetime: lifetime.capped(self.ttl_max), age: age(headers), keep }
    }

    pub(super) fn value(&self, headers: &HeaderMap, body: Bytes) -> Value {
        let given = |name| self.honour.then(|| text(headers, name)).flatten();
        Value {
            content_type: text(headers, &CONTENT_TYPE),
            etag: Some(given(&ETAG).unwrap_or_else(|| etag_of(&body))),
            last_modified: given(&LAST_MODIFIED),
            body,
        }
    }
}

/// The tags that the answer carries; those that are none, or too many, are left out.
pub(super) fn tags(headers: &HeaderMap) -> Vec<Tag> {
    let all = spelling::HEADERS.iter().flat_map(|(name, how)| {
        headers.get_all(*name).iter().flat_map(|line| spelling::parse(*how, line.as_bytes()))
    });
    let (tags, dropped) = spelling::lenient(all);
    if 0 < dropped {
        debug!(
            tags.dropped = dropped,
            tags.kept = tags.len(),
            "an origin's answer carries tags that do not count"
        );
    }
    tags
}

/// How long the origin asks to be left alone: seconds, or a date after the answer's own `Date`. No longer than
/// [`RETRY_AFTER_MAX`]; `None` where nothing is said that can be read.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let stated = headers.get(RETRY_AFTER)?;
    let until = || {
        let (until, sent) = (date(stated)?, headers.get(DATE).and_then(date)?);
        Some(until.duration_since(sent).unwrap_or_default())
    };
    delta_seconds(stated.as_bytes()).or_else(until).map(|wait| wait.min(RETRY_AFTER_MAX))
}

/// The content coding, if the value is not as it was asked for.
pub(super) fn foreign_coding(headers: &HeaderMap) -> Option<String> {
    lines(headers, &CONTENT_ENCODING)
        .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .map(|coding| String::from_utf8_lossy(&coding[..coding.len().min(64)]).into_owned())
}

/// `Expires` after `Date`. What cannot be read as a date, `0` above all, has expired; so has an `Expires` without
/// a `Date` to count it from.
fn expires_in(headers: &HeaderMap) -> Option<Duration> {
    let expires = headers.get(EXPIRES)?;
    let left = |(expires, sent): (SystemTime, SystemTime)| expires.duration_since(sent).ok();
    Some(date(expires).zip(headers.get(DATE).and_then(date)).and_then(left).unwrap_or_default())
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    value.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok())
}

fn age(headers: &HeaderMap) -> Duration {
    let first = |value: &HeaderValue| {
        delta_seconds(value.as_bytes().split(|b| *b == b',').next().unwrap_or_default().trim_ascii())
    };
    headers.get(AGE).and_then(first).unwrap_or_default()
}

fn varies_by_all(headers: &HeaderMap) -> bool {
    lines(headers, &VARY).any(|line| line.split(|b| *b == b',').any(|name| name.trim_ascii() == b"*"))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<Arc<str>> {
    let text = headers.get(name)?.to_str().ok()?;
    (!text.is_empty() && text.len() <= KEPT_HEADER_BYTES_MAX).then(|| text.into())
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const HONOUR: Reading = Reading { honour: true, max_value: 100, ttl_max: HOUR };

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        lines.iter().map(line).collect()
    }

    fn terms(lines: &[(&str, &str)]) -> Terms {
        HONOUR.terms(&headers(lines))
    }

    fn fresh(lines: &[(&str, &str)]) -> Option<u64> {
        terms(lines).lifetime.fresh.map(|fresh| fresh.as_secs())
    }

    #[test]
    fn every_status_is_one_of_five() {
        let of = |code| meaning(StatusCode::from_u16(code).unwrap(), false);
        for code in [200, 201, 202, 203, 226] {
            assert_eq!(of(code), Meaning::Value, "{code}");
        }
        assert_eq!((of(204), of(205)), (Meaning::Empty, Meaning::Empty));
        assert_eq!((of(404), of(410)), (Meaning::Absent, Meaning::Absent));
        for code in [408, 429, 500, 502, 503, 504] {
            assert_eq!(of(code), Meaning::Failure { temporary: true }, "{code}");
        }
        for code in [101, 206, 301, 302, 304, 307, 400, 401, 403, 405, 451, 501, 505, 999] {
            assert_eq!(of(code), Meaning::Failure { temporary: false }, "{code}");
        }
        assert_eq!(meaning(StatusCode::NOT_MODIFIED, true), Meaning::NotModified);
    }

    #[test]
    fn s_maxage_goes_over_max_age_over_expires() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let expires = ("expires", "Sun, 06 Nov 1994 08:50:07 GMT");
        assert_eq!(fresh(&[date, expires]), Some(30));
        assert_eq!(fresh(&[date, expires, ("cache-control", "max-age=20")]), Some(20));
        assert_eq!(fresh(&[date, expires, ("cache-control", "max-age=20, s-maxage=10")]), Some(10));
        assert_eq!(fresh(&[date, expires, ("cache-control", "no-cache")]), Some(0));
        assert_eq!(fresh(&[expires]), Some(0));
        assert_eq!(fresh(&[date, ("expires", "0")]), Some(0));
        assert_eq!(fresh(&[("expires", date.1), ("date", expires.1)]), Some(0));
        assert_eq!(fresh(&[date]), None);
        assert_eq!(fresh(&[("cache-control", "max-age=4000")]), Some(3600));
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date_and_bounded() {
        let wait = |lines: &[(&str, &str)]| retry_after(&headers(lines)).map(|wait| wait.as_secs());
        let (now, soon) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT");
        assert_eq!(wait(&[("retry-after", "7")]), Some(7));
        assert_eq!(wait(&[("retry-after", "99999999999999999999")]), Some(3600));
        assert_eq!(wait(&[("retry-after", soon), ("date", now)]), Some(30));
        assert_eq!(wait(&[("retry-after", now), ("date", soon)]), Some(0));
        assert_eq!(wait(&[("retry-after", "Mon, 07 Nov 1994 08:49:37 GMT"), ("date", now)]), Some(3600));
        for lines in [&[][..], &[("retry-after", soon)], &[("retry-after", "-1")], &[("retry-after", "soon")]]
        {
            assert_eq!(wait(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn what_forbids_keeping() {
        assert_eq!(terms(&[]), Terms::default());
        assert_eq!(terms(&[("vary", "accept, cookie")]).keep, Keep::Yes);
        for line in [("cache-control", "no-store"), ("cache-control", "private"), ("vary", "accept, *")] {
            assert_eq!(terms(&[line]).keep, Keep::NoStore, "{line:?}");
        }
        assert_eq!(
            terms(&[("cache-control", "max-age=9"), ("cache-control", "no-store")]).keep,
            Keep::NoStore
        );
    }

    #[test]
    fn an_age_is_seconds() {
        let age = |text| terms(&[("age", text)]).age.as_secs();
        assert_eq!((age("7"), age("7, 9"), age("-7"), age("x")), (7, 7, 0, 0));
    }

    #[test]
    fn an_answer_whose_cache_control_is_ignored_says_nothing() {
        let ignore = Reading { honour: false, ..HONOUR };
        let headers = headers(&[
            ("cache-control", "no-store, max-age=9"),
            ("age", "7"),
            ("etag", "\"e\""),
            ("last-modified", "x"),
            ("content-type", "text/plain"),
        ]);
        assert_eq!(ignore.terms(&headers), Terms::default());
        let value = ignore.value(&headers, "v".into());
        assert_eq!((value.etag, value.last_modified), (Some(etag_of(b"v")), None));
        assert_eq!(value.content_type.as_deref(), Some("text/plain"));
    }

    #[test]
    fn what_the_value_keeps_of_its_header() {
        let long = "x".repeat(KEPT_HEADER_BYTES_MAX + 1);
        let value = HONOUR.value(&headers(&[("etag", "W/\"e\""), ("last-modified", "whenever")]), "v".into());
        assert_eq!(
            (value.etag.as_deref(), value.last_modified.as_deref()),
            (Some("W/\"e\""), Some("whenever"))
        );
        for etag in ["", &long] {
            assert_eq!(HONOUR.value(&headers(&[("etag", etag)]), "v".into()).etag, Some(etag_of(b"v")));
        }
    }

    #[test]
    fn tags_come_from_all_three_headers() {
        let headers = headers(&[
            ("cache-tag", "a, b c"),
            ("cache-tag", "d"),
            ("surrogate-key", "e a"),
            ("cache-groups", "\"g\""),
        ]);
        let tags = tags(&headers);
        assert_eq!(tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["a", "d", "e", "g"]);
    }

    #[test]
    fn a_coding_that_was_not_asked_for_is_named() {
        assert_eq!(foreign_coding(&headers(&[("content-encoding", "Identity")])), None);
        assert_eq!(foreign_coding(&headers(&[("content-encoding", "br")])).as_deref(), Some("br"));
    }

    proptest! {
        #[test]
        fn any_header_is_read(
            name in prop::sample::select(vec!["cache-control", "expires", "date", "age", "vary", "etag", "cache-groups", "retry-after"]),
            value in prop::collection::vec(any::<u8>(), 0..64),
            date in "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        ) {
            let mut headers = headers(&[("expires", date.as_str()), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]);
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(name, value);
            }
            prop_assert!(HONOUR.terms(&headers).lifetime.fresh.is_none_or(|fresh| fresh <= HOUR));
            HONOUR.value(&headers, Bytes::new());
            tags(&headers);
            prop_assert!(retry_after(&headers).is_none_or(|wait| wait <= RETRY_AFTER_MAX));
        }
    }
}
