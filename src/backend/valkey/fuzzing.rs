//! What a server answers and announces, when it is not our scripts that speak: see [`crate::fuzzing`].

use bytes::Bytes;
use fred::types::Value;

use super::address::{Credentials, config};
use super::codec::{announced, hurry, logged, pack_names, unpack_names};
use super::entries::looked;
use super::fills::filled;
use super::inbox::entries;
use super::log::stream_entry;
use super::members::{beaten, read_members};
use super::pages::take_in;
use super::peeks::peeked;
use super::publish::answers;
use super::reply::Parts;
use super::resp::{Found, Frame, Malformed, Scan};
use super::value::value as valued;
use crate::backend::Logged;
use crate::model::Event;

/// Deepest nesting of an answer, and the most parts of one list.
const DEPTH_MAX: usize = 6;
const PARTS_MAX: usize = 64;

/// An answer to anything, read by every reader: a value on each line, `*N` and `%N` are lists and maps of the next ones.
pub(crate) fn answer<'a>(mut lines: impl Iterator<Item = &'a [u8]>) {
    let Some(answer) = value(&mut lines, 0) else { return };
    drop((looked(answer.clone()), filled(answer.clone()), answers(answer.clone()), beaten(answer.clone())));
    drop((peeked(answer.clone()), entries(answer.clone())));
    if let Ok((id, fields)) = stream_entry(answer.clone())
        && let Some((_, logged)) = logged(&id, &fields)
    {
        event(&logged);
    }
    if let Ok(members) = Parts::of("members", answer).and_then(read_members) {
        assert!(members.is_sorted_by(|a, b| a.instance <= b.instance));
    }
}

/// All that comes over a connection: the same frames whether it comes at once or byte by byte, and each can be read.
pub(crate) fn frames(bytes: &[u8]) {
    let frames = found(bytes, bytes.len().max(1));
    assert_eq!(found(bytes, 1), frames);
    for frame in frames.0 {
        assert_ne!(Frame::of(frame).count(), 0);
        let mut events = Vec::new();
        if let Ok((count, _)) = take_in(Frame::of(frame), &mut events) {
            assert!(events.len() <= count);
        }
        drop(valued(&Bytes::copy_from_slice(frame)));
    }
}

/// The frames of what comes `step` bytes at a time, and whether something that is none ends them.
fn found(bytes: &[u8], step: usize) -> (Vec<&[u8]>, bool) {
    let (mut scan, mut begin, mut frames) = (Scan::default(), 0, Vec::new());
    for end in (0..bytes.len()).step_by(step).map(|from| bytes.len().min(from + step)) {
        while begin < end {
            match scan.look(&bytes[begin..end]) {
                Ok(Found::Whole(length)) => {
                    frames.push(&bytes[begin..begin + length]);
                    begin += length;
                }
                Ok(Found::Part(length)) => {
                    assert!(end - begin < length, "what is there is no part of it");
                    break;
                }
                Err(Malformed) => return (frames, true),
            }
        }
    }
    (frames, false)
}

/// A message of the events channel.
pub(crate) fn announcement(bytes: &[u8]) {
    drop(hurry(bytes));
    for (_, logged) in announced(bytes).flatten() {
        event(&logged);
    }
}

/// An entry of the log: its id, then each name and each value.
pub(crate) fn log_entry(id: &[u8], fields: &[&[u8]]) {
    if let Some((_, read)) = logged(id, fields) {
        event(&read);
        assert_eq!(format!("{}-0", read.seq).parse(), Ok(crate::model::LogId::single(read.seq)));
        let more = [fields, &[b"later", b"1"]].concat();
        let more = logged(id, &more).expect("a field of a later version is passed over").1;
        assert_eq!(more, read);
    }
}

/// The names of an entry.
pub(crate) fn names(bytes: &[u8]) {
    if let Some(names) = unpack_names(bytes) {
        assert_eq!(unpack_names(&pack_names(&names)), Some(names));
    }
}

/// What the backend makes of a URL: whether it is encrypted, the hosts with their ports, and the database.
pub(crate) fn address(text: &str) -> Option<(bool, Vec<String>, u8)> {
    // Encryption is left out: the machine's certificates are nothing to read for each input.
    let encrypted =
        ["valkey", "redis"].iter().find_map(|name| Some((name, text.strip_prefix(name)?.strip_prefix('s')?)));
    let plain = encrypted.map_or_else(|| text.to_owned(), |(name, rest)| format!("{name}{rest}"));
    let config = config(&plain, Credentials::default()).ok()?;
    let host = |host: &str, port| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    };
    let hosts = config.server.hosts().iter().map(|server| host(&server.host, server.port)).collect();
    Some((encrypted.is_some(), hosts, config.database.unwrap_or_default()))
}

fn event(logged: &Logged) {
    assert!(!logged.event.targets.is_empty());
    let Event { targets, .. } = &logged.event;
    assert!(!format!("{targets:?}").is_empty());
}

fn value<'a>(lines: &mut impl Iterator<Item = &'a [u8]>, depth: usize) -> Option<Value> {
    let (kind, rest) = lines.next()?.split_first()?;
    let number = || std::str::from_utf8(rest).ok()?.parse::<i64>().ok();
    let count = || Some(usize::try_from(number()?).ok()?.min(PARTS_MAX)).filter(|_| depth < DEPTH_MAX);
    Some(match kind {
        b'*' => Value::Array((0..count()?).map_while(|_| value(lines, depth + 1)).collect()),
        b'%' => {
            let pairs =
                (0..count()?).map_while(|_| Some((value(lines, depth + 1)?, value(lines, depth + 1)?)));
            let pairs: Vec<(fred::types::Key, Value)> =
                pairs.filter_map(|(name, value)| Some((name.try_into().ok()?, value))).collect();
            Value::Map(pairs.try_into().ok()?)
        }
        b':' => Value::Integer(number()?),
        b',' => Value::Double(std::str::from_utf8(rest).ok()?.parse().ok()?),
        b'#' => Value::Boolean(rest == b"t"),
        b'_' => Value::Null,
        b'+' => Value::String(String::from_utf8_lossy(rest).into_owned().into()),
        _ => Value::Bytes(rest.to_vec().into()),
    })
}
