//! An origin's answers, and keys in its URL: see [`crate::fuzzing`].

use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderMap;
use percent_encoding::percent_decode_str;

use super::answer::{RETRY_AFTER_MAX, Reading, foreign_coding, retry_after, tags};
use super::target::Target;
use crate::model::{Key, Namespace, TAGS_MAX};

/// The header of an answer.
pub(crate) fn answer(headers: &HeaderMap) {
    for honour in [true, false] {
        let reading = Reading { honour, max_value: 100, ttl_max: Duration::from_hours(1) };
        let terms = reading.terms(headers);
        let times =
            [terms.lifetime.fresh, terms.lifetime.stale_while_revalidate, terms.lifetime.stale_if_error];
        assert!(times.into_iter().flatten().all(|time| time <= reading.ttl_max), "{terms:?}");
        let value = reading.value(headers, Bytes::from_static(b"body"));
        let kept = [value.content_type, value.etag, value.last_modified];
        assert!(kept.into_iter().flatten().all(|text| (1..=1024).contains(&text.len())));
    }
    assert!(tags(headers).len() <= TAGS_MAX);
    assert!(retry_after(headers).is_none_or(|wait| wait <= RETRY_AFTER_MAX));
    assert!(foreign_coding(headers).is_none_or(|coding| !coding.is_empty()));
}

/// A template and a key: the key is in the URL, whole, and decides nothing else of it.
pub(crate) fn target(template: &str, key: &Key) {
    let namespace = Namespace::new("users").expect("it is one");
    let fixed = Target::parse("http://origin/a/{key}?b", &namespace).expect("it is one");
    if let Some(uri) = fixed.uri(key).expect("every key has a URL or none") {
        let path = uri.path().strip_prefix("/a/").expect("a key leaves the path before it alone");
        assert_eq!(percent_decode_str(path).collect::<Vec<_>>(), key.as_bytes());
        assert_eq!((uri.host(), uri.query()), (Some("origin"), Some("b")));
    }
    let Ok(target) = Target::parse(template, &namespace) else { return };
    if let Ok(Some(uri)) = target.uri(key) {
        assert_eq!(uri.authority().map(ToString::to_string).as_deref(), Some(target.authority()));
    }
}
