//! How an event is spelt for `publish.lua`: its fields in the log and as they are announced, the names that it marks, the
//! leases that it ends. The prelude's `targets_spell` says the same of events that scripts make.

use super::arguments::Arguments;
use super::codec::bounded;
use super::keys::ShardKeys;
use crate::model::{Event, Hardness, Key, Namespace, Target, widen};

/// An event's targets as the log knows them: a prefix stands for the boundary before it, or for its namespace.
fn known(target: &Target) -> Known<'_> {
    match target {
        Target::Key(namespace, key) => Known::Key(namespace, key),
        Target::Prefix(namespace, prefix) => match widen(prefix) {
            Some(prefix) => Known::Prefix(namespace, prefix),
            None => Known::Namespace(namespace),
        },
        Target::Namespace(namespace) => Known::Namespace(namespace),
        Target::Tag(tag) => Known::Tag(tag),
        Target::All => Known::All,
    }
}

#[derive(Clone, Copy)]
enum Known<'a> {
    Key(&'a Namespace, &'a Key),
    Prefix(&'a str, &'a str),
    Namespace(&'a str),
    Tag(&'a str),
    All,
}

/// Whether it names everything there is.
pub(super) fn is_of_all(event: &Event) -> bool {
    event.targets.contains(&Target::All)
}

/// Names and values, `ns` before what it goes with; `trace` is the event's, spelt.
pub(super) fn fields<'a>(event: &'a Event, confirm: bool, trace: &'a str) -> Vec<&'a str> {
    let mut fields = Vec::with_capacity(4 + 4 * event.targets.len());
    let mut ns = None;
    let provenance = &event.provenance;
    for (name, value) in [
        ("soft", if event.hardness == Hardness::Soft { "1" } else { "" }),
        ("c", if confirm { "1" } else { "" }),
        ("src", bounded(&provenance.source)),
        ("why", bounded(&provenance.reason)),
        ("rq", event.request_id.as_deref().unwrap_or_default()),
        ("tp", trace),
    ] {
        if !value.is_empty() {
            fields.extend([name, value]);
        }
    }
    for target in event.targets.iter().map(known) {
        let within = match target {
            Known::Key(namespace, _) => Some(&**namespace),
            Known::Prefix(namespace, _) | Known::Namespace(namespace) => Some(namespace),
            // without a namespace: an empty one takes back the one before
            Known::All => ns.map(|_| ""),
            Known::Tag(_) => None,
        };
        if let Some(namespace) = within
            && ns != within
        {
            fields.extend(["ns", namespace]);
            ns = within.filter(|it| !it.is_empty());
        }
        fields.extend(match target {
            Known::Key(_, key) => ["key", &**key],
            Known::Prefix(_, prefix) => ["prefix", prefix],
            Known::Tag(tag) => ["tag", tag],
            Known::Namespace(_) | Known::All => ["all", "1"],
        });
    }
    fields
}

/// Adds the names that it marks; how many.
pub(super) fn names(event: &Event, args: &mut Arguments) -> usize {
    let mut count = 0;
    for target in event.targets.iter().map(known) {
        match target {
            Known::Key(namespace, key) => args.text(format_args!("k/{namespace}/{key}")),
            Known::Prefix(namespace, prefix) => args.text(format_args!("p/{namespace}/{prefix}")),
            Known::Namespace(namespace) => args.text(format_args!("n/{namespace}")),
            Known::Tag(tag) => args.text(format_args!("t/{tag}")),
            Known::All => continue,
        }
        count += 1;
    }
    count
}

/// Adds the keys of the leases that it ends; how many.
pub(super) fn leases(event: &Event, keys: &ShardKeys, own: &mut Arguments) -> usize {
    let mut count = 0;
    for target in &event.targets {
        if let Target::Key(namespace, key) = target {
            own.text(keys.lease(namespace, key));
            count += 1;
        }
    }
    count
}
