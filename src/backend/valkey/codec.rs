//! Events and names as they travel: plain fields in the log, MessagePack where scripts unpack it.

use bytes::Bytes;
use serde::Deserialize;

use crate::backend::{Logged, Partition};
use crate::model::{
    Event, Hardness, Key, LineageId, Name, Namespace, Nonce, Prefix, Seq, Tag, Target, TraceParent,
};

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

/// Texts as they are announced.
pub(super) fn pack(texts: &[&str]) -> Vec<u8> {
    rmp_serde::to_vec(texts).expect("texts always have a MessagePack form")
}

/// What an announcement begins with: lineage, the nonce before the first event, milliseconds and microseconds of the
/// moment, and the first number.
type Heading<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

/// The events of an announcement, which follow each other; `None` where one cannot be read, and nothing behind it.
///
/// Behind the heading are the events' nonces, then the fields of each as the log has them.
pub(super) fn announced(message: &[u8]) -> impl Iterator<Item = Option<(LineageId, Logged)>> {
    let mut rest = rmp_serde::Deserializer::from_read_ref(message);
    let mut heading = || {
        let (lineage, previous, at_ms, us, first) = Heading::deserialize(&mut rest).ok()?;
        let nonces = Vec::<&str>::deserialize(&mut rest).ok().filter(|nonces| !nonces.is_empty())?;
        let at_us = at_us(at_ms.parse().ok()?, us);
        Some((LineageId::new(lineage), previous, at_us, first.parse::<Seq>().ok()?, nonces.into_iter()))
    };
    let mut heading = Some(heading());
    std::iter::from_fn(move || {
        let Some((lineage, previous, at_us, seq, nonces)) = heading.as_mut()?.as_mut() else {
            heading = None;
            return Some(None);
        };
        let nonce = nonces.next()?;
        let read = Vec::<&str>::deserialize(&mut rest).ok().and_then(|fields| said(&fields));
        let Some((event, confirm)) = read else {
            heading = None;
            return Some(None);
        };
        let previous = Nonce::new(std::mem::replace(previous, nonce));
        let logged = Logged { seq: *seq, previous, nonce: Nonce::new(nonce), event, confirm, at_us: *at_us };
        *seq = seq.saturating_add(1);
        Some(Some((lineage.clone(), logged)))
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
    let field = |name: &[u8]| {
        let (pairs, _) = fields.as_chunks::<2>();
        let value = pairs.iter().rev().find(|[of, _]| of.as_ref() == name).map(|[_, value]| value.as_ref());
        value.map(String::from_utf8_lossy)
    };
    let (lineage, previous, nonce) = (field(b"lin")?, field(b"p")?, field(b"n")?);
    let at_us = at_us(field(b"at")?.parse().ok()?, &field(b"us").unwrap_or_default());
    let (event, confirm) = said(fields)?;
    let (previous, nonce) = (Nonce::new(&previous), Nonce::new(&nonce));
    Some((LineageId::new(&lineage), Logged { seq, previous, nonce, event, confirm, at_us }))
}

/// Microseconds, of a moment in milliseconds and what is left of it.
fn at_us(ms: u64, us: &str) -> u64 {
    let us = us.parse::<u64>().map_or(0, |us| us.min(999));
    ms.saturating_mul(1000).saturating_add(us)
}

/// What a log entry's fields say of its event, and whether it is to be confirmed at once.
fn said<T: AsRef<[u8]>>(fields: &[T]) -> Option<(Event, bool)> {
    let (mut confirm, mut namespace) = (false, None);
    let mut event = Event::hard(Vec::new());
    let (pairs, rest) = fields.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    for [name, value] in pairs {
        let value = value.as_ref();
        let text = || String::from_utf8_lossy(value);
        match name.as_ref() {
            b"soft" => event.hardness = Hardness::Soft,
            b"c" => confirm = true,
            b"src" => event.provenance.source = text().into_owned(),
            b"why" => event.provenance.reason = text().into_owned(),
            b"tp" => event.provenance.trace = TraceParent::parse(value),
            b"rq" => event.request_id = Some(text().into_owned()),
            // an empty one takes back the one before
            b"ns" => namespace = (!value.is_empty()).then(|| Namespace::new(&text())).transpose().ok()?,
            b"key" => event.targets.push(Target::Key(namespace.clone()?, Key::from_bytes(value).ok()?)),
            b"prefix" => event.targets.push(Target::Prefix(namespace.clone()?, Prefix::new(&text()).ok()?)),
            b"tag" => event.targets.push(Target::Tag(Tag::new(&text()).ok()?)),
            b"all" => event.targets.push(match &namespace {
                Some(namespace) => Target::Namespace(namespace.clone()),
                None => Target::All,
            }),
            // a field of a later version says more about an event, never less
            _ => {}
        }
    }
    (!event.targets.is_empty()).then_some((event, confirm))
}

/// Free text within the limit that every reader of the log may rely on.
pub(super) fn bounded(text: &str) -> &str {
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
