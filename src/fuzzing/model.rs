//! The decoders of the model: ids, `Cache-Control`, tags.

use std::time::Duration;

use super::carried::lines;
use crate::model::tags::{Spelling, lenient, parse, strict};
use crate::model::{CacheControl, LogId, TAGS_MAX, Tag};

/// A log id.
pub(super) fn log_id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<LogId>() {
        Ok(id) => assert_eq!(id.to_string().parse(), Ok(id), "an id reads as it is written"),
        Err(error) => assert!(error.to_string().len() < 512, "a refusal repeats no more than a line"),
    }
}

/// The lines of a `Cache-Control`.
pub(super) fn cache_control(bytes: &[u8]) {
    let read = CacheControl::parse(lines(bytes));
    let mut backwards: Vec<&[u8]> = lines(bytes).collect();
    backwards.reverse();
    assert_eq!(read, CacheControl::parse(backwards), "the order of lines does not count");
    let longest = Duration::from_secs(1 << 31);
    let stated = read.stated();
    let times =
        [stated.fresh, stated.stale_while_revalidate, stated.stale_if_error, read.max_age, read.s_maxage];
    assert!(times.into_iter().flatten().all(|time| time <= longest), "{read:?}");
    assert!(read.max_stale.is_none_or(|time| time <= longest || time == Duration::MAX), "{read:?}");
    let forbids = CacheControl::parse(lines(bytes).chain([b"no-store".as_slice()]));
    assert!(!forbids.may_store(), "nothing before it takes a `no-store` back");
}

/// A header of tags, in each spelling.
pub(super) fn tags(bytes: &[u8]) {
    for spelling in [Spelling::Commas, Spelling::Spaces, Spelling::Strings] {
        let parsed = parse(spelling, bytes);
        let valid: Vec<&Tag> = parsed.iter().flatten().collect();
        let written =
            valid.iter().map(|tag| written(spelling, tag)).collect::<Vec<_>>().join(separator(spelling));
        let again: Vec<Tag> = parse(spelling, written.as_bytes()).into_iter().flatten().collect();
        assert!(again.iter().eq(valid), "{written}");
        let all = parsed.len();
        let (kept, dropped) = lenient(parsed.clone());
        assert!(kept.len() <= TAGS_MAX && kept.len() + dropped <= all);
        if let Ok(strict) = strict(parsed) {
            assert_eq!((strict, 0), (kept, dropped), "what is taken of a request is taken of an answer");
        }
    }
}

fn separator(spelling: Spelling) -> &'static str {
    match spelling {
        Spelling::Commas | Spelling::Strings => ",",
        Spelling::Spaces => " ",
    }
}

fn written(spelling: Spelling, tag: &Tag) -> String {
    match spelling {
        Spelling::Commas | Spelling::Spaces => tag.to_string(),
        Spelling::Strings => format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}
