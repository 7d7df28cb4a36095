//! Events and names as they travel: plain fields in the log, MessagePack where scripts unpack it.

use bytes::Bytes;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::connection::Arg;
use crate::backend::{Logged, Partition};
use crate::model::{
    Event, Hardness, Key, LineageId, Name, Namespace, Nonce, Prefix, Provenance, Seq, Tag, Target,
    TraceParent,
};

/// What is announced on a shard's events channel: the log's entry, as it is.
#[derive(Deserialize)]
struct Announced {
    id: ByteBuf,
    fields: Vec<ByteBuf>,
}

/// What goes over a shard's signals channel.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Hurry {
    /// A lease that somebody waits for has ended.
    Wake { ns: String, key: String, filled: bool },
    /// A lock that somebody waits for was given up.
    Unlocked { name: String },
    /// There is something to do in a queue of writes.
    Work { partition: Partition },
    /// A member has applied everything up to a number.
    Confirmed { instance: String, cursor: String },
}

/// Names as scripts unpack them; nothing for none.
pub(super) fn pack_names(names: &[Name]) -> Bytes {
    if names.is_empty() {
        return Bytes::new();
    }
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    rmp_serde::to_vec(&names).expect("texts always have a MessagePack form").into()
}

/// The names of a stored entry; `None` if they cannot be read.
pub(super) fn unpack_names(packed: &[u8]) -> Option<Vec<Name>> {
    if packed.is_empty() {
        return Some(Vec::new());
    }
    let names: Vec<&str> = rmp_serde::from_slice(packed).ok()?;
    Some(names.into_iter().map(Name::from_stored).collect())
}

/// An event's targets as `publish.lua` takes them: kind, namespace, text.
pub(super) fn target_args(targets: &[Target]) -> impl Iterator<Item = Arg> {
    targets.iter().flat_map(|target| {
        let (kind, namespace, text): (&str, &str, &str) = match target {
            Target::Key(namespace, key) => ("key", namespace, key),
            Target::Prefix(namespace, prefix) => ("prefix", namespace, prefix),
            Target::Namespace(namespace) => ("ns", namespace, ""),
            Target::Tag(tag) => ("tag", "", tag),
            Target::All => ("all", "", ""),
        };
        [Arg::from(kind), Arg::from(namespace), Arg::from(text)]
    })
}

/// The events of an announcement, which follow each other; `None` where one cannot be read, and nothing behind it.
pub(super) fn announced(mut message: &[u8]) -> impl Iterator<Item = Option<(LineageId, Logged)>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let read = Announced::deserialize(&mut rmp_serde::Deserializer::new(&mut message));
        let event = read.ok().and_then(|Announced { id, fields }| logged(&id, &fields));
        if event.is_none() {
            message = &[];
        }
        Some(event)
    })
}

/// A signal; `None` if it cannot be read.
pub(super) fn hurry(message: &[u8]) -> Option<Hurry> {
    rmp_serde::from_slice(message).ok()
}

/// The number of a log entry that our scripts made: `<n>-0`.
pub(super) fn entry_seq(id: &[u8]) -> Option<Seq> {
    std::str::from_utf8(id).ok()?.strip_suffix("-0")?.parse().ok()
}

/// A log entry; `None` if it is not one that our scripts made.
pub(super) fn logged<T: AsRef<[u8]>>(id: &[u8], fields: &[T]) -> Option<(LineageId, Logged)> {
    let seq = entry_seq(id)?;
    let (mut lineage, mut previous, mut nonce, mut at_ms, mut us) = (None, None, None, None, 0);
    let (mut confirm, mut namespace) = (false, None);
    let mut event = Event::hard(Vec::new());
    let (pairs, rest) = fields.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    for [name, value] in pairs {
        let value = value.as_ref();
        let text = String::from_utf8_lossy(value);
        match name.as_ref() {
            b"lin" => lineage = Some(LineageId::new(&text)),
            b"p" => previous = Some(Nonce::new(&text)),
            b"n" => nonce = Some(Nonce::new(&text)),
            b"at" => at_ms = text.parse::<u64>().ok(),
            b"us" => us = text.parse::<u64>().map_or(0, |us| us.min(999)),
            b"soft" => event.hardness = Hardness::Soft,
            b"c" => confirm = true,
            b"src" => event.provenance.source = text.into_owned(),
            b"why" => event.provenance.reason = text.into_owned(),
            b"tp" => event.provenance.trace = TraceParent::parse(value),
            b"rq" => event.request_id = Some(text.into_owned()),
            // an empty one takes back the one before
            b"ns" => namespace = (!value.is_empty()).then(|| Namespace::new(&text)).transpose().ok()?,
            b"key" => event.targets.push(Target::Key(namespace.clone()?, Key::from_bytes(value).ok()?)),
            b"prefix" => event.targets.push(Target::Prefix(namespace.clone()?, Prefix::new(&text).ok()?)),
            b"tag" => event.targets.push(Target::Tag(Tag::new(&text).ok()?)),
            b"all" => event.targets.push(match &namespace {
                Some(namespace) => Target::Namespace(namespace.clone()),
                None => Target::All,
            }),
            // a field of a later version says more about an event, never less
            _ => {}
        }
    }
    let (previous, nonce, at_us) = (previous?, nonce?, at_ms?.saturating_mul(1000).saturating_add(us));
    (!event.targets.is_empty()).then_some((lineage?, Logged { seq, previous, nonce, event, confirm, at_us }))
}

/// Who says so, within the limits that every reader of the log may rely on.
pub(super) fn provenance_args(provenance: &Provenance) -> [Arg; 2] {
    [Arg::from(bounded(&provenance.source)), Arg::from(bounded(&provenance.reason))]
}

fn bounded(text: &str) -> &str {
    let mut end = text.len().min(Event::TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, extra: &[&str]) -> Option<(LineageId, Logged)> {
        let mut fields = vec!["lin", "a1", "p", "b2", "n", "c3", "at", "7"];
        fields.extend(extra);
        logged(id.as_bytes(), &fields)
    }

    #[test]
    fn fields_are_read_in_order() {
        let fields =
            ["ns", "a", "key", "1", "tag", "t", "ns", "b", "prefix", "x/", "all", "1", "ns", "", "all", "1"];
        let (lineage, logged) = entry("9-0", &fields).unwrap();
        let (a, b) = (Namespace::new("a").unwrap(), Namespace::new("b").unwrap());
        assert_eq!((lineage.as_str(), logged.seq, logged.at_us), ("a1", 9, 7_000));
        assert_eq!(
            logged.event.targets,
            [
                Target::Key(a, Key::new("1").unwrap()),
                Target::Tag(Tag::new("t").unwrap()),
                Target::Prefix(b.clone(), Prefix::new("x/").unwrap()),
                Target::Namespace(b),
                Target::All,
            ]
        );
    }

    #[test]
    fn what_is_not_an_event_of_ours_is_none() {
        assert!(entry("9-1", &["tag", "t"]).is_none(), "an id that is not dense");
        assert!(entry("9-0", &[]).is_none(), "no target");
        assert!(entry("9-0", &["key", "1"]).is_none(), "a key without a namespace");
        assert!(entry("9-0", &["tag"]).is_none(), "a field without a value");
        assert!(logged(b"9-0", &["hello", "world"]).is_none(), "no chain");
        assert_eq!(announced(b"\xc1").collect::<Vec<_>>(), [None]);
        assert!(hurry(b"nonsense").is_none());
    }

    #[test]
    fn names_survive_the_pack() {
        let names: Vec<Name> = ["k/a/1", &"t".repeat(40), &"n".repeat(300)].map(Name::from_stored).to_vec();
        assert_eq!(unpack_names(&pack_names(&names)).unwrap(), names);
        assert_eq!(unpack_names(b"").unwrap(), []);
        assert!(unpack_names(b"\xc1").is_none());
    }

    #[test]
    fn free_text_is_cut_between_characters() {
        assert_eq!(bounded(&"ä".repeat(200)).len(), 256);
        assert_eq!(bounded(&format!("x{}", "ä".repeat(200))).len(), 255);
    }
}
