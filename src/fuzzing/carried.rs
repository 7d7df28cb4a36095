//! Targets that take more than bytes, and how bytes carry it: lists as lines, headers as `name: value` lines.

use std::ffi::OsString;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{form, http, valkey};
use crate::config::fuzzing as config;
use crate::model::Key;
use crate::origin::http::fuzzing as origin;

/// Most lines that are looked at.
const LINES_MAX: usize = 4096;

/// A value on each line.
pub(super) fn answer(bytes: &[u8]) {
    valkey::answer(lines(bytes));
}

/// Whatever the configuration takes, the backend takes, and understands the same.
pub(super) fn backend_url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let theirs = valkey::address(text);
    let Some((plain, ours)) = config::backend_url(text) else { return };
    assert_eq!(valkey::address(&plain).as_ref(), Some(&ours), "{plain}");
    assert!(theirs.is_none_or(|theirs| theirs == ours), "{plain}");
}

/// An argument of `--set` on each line; one that begins with `COHERD_` is a variable.
pub(super) fn config_set(bytes: &[u8]) {
    let (mut sets, mut env) = (Vec::new(), Vec::new());
    for line in lines(bytes) {
        let line = String::from_utf8_lossy(line).into_owned();
        match line.split_once('=') {
            Some((name, value)) if name.starts_with("COHERD_") => {
                env.push((OsString::from(name), value.into()));
            }
            _ => sets.push(line),
        }
    }
    config::set(sets, env);
}

/// A line for each name and each value.
pub(super) fn event_fields(bytes: &[u8]) {
    let lines: Vec<&[u8]> = lines(bytes).collect();
    form::fields(&lines.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>());
}

/// Headers, an empty line, the body.
pub(super) fn event_request(bytes: &[u8]) {
    let cut = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = cut.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + 2..]));
    http::event(headers(head), body);
}

/// The id, then a line for each name and each value.
pub(super) fn log_entry(bytes: &[u8]) {
    let mut lines = lines(bytes);
    let id = lines.next().unwrap_or_default();
    valkey::log_entry(id, &lines.collect::<Vec<_>>());
}

/// Headers.
pub(super) fn origin_answer(bytes: &[u8]) {
    origin::answer(&headers(bytes));
}

/// A template and a key.
pub(super) fn origin_target(bytes: &[u8]) {
    let mut lines = lines(bytes);
    let (Some(template), Some(key)) = (lines.next(), lines.next()) else { return };
    if let (Ok(template), Ok(key)) = (std::str::from_utf8(template), Key::from_bytes(key)) {
        origin::target(template, &key);
    }
}

/// Headers.
pub(super) fn request_headers(bytes: &[u8]) {
    http::headers(&headers(bytes));
}

/// A method and a URI.
pub(super) fn route(bytes: &[u8]) {
    if let Ok(line) = std::str::from_utf8(bytes) {
        http::route(line);
    }
}

pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').take(LINES_MAX)
}

/// What can be no header is passed over.
fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines(bytes) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
