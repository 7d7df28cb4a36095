//! The audit: a line for every event that somebody has logged by this instance, with who, what and which id. Everything
//! goes to one target, `coherd::audit`, by which `log.level` switches it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tracing::{Level, debug, enabled, info};

use super::publish::Terms;
use super::{Door, PublishError, Receipt};
use crate::model::{Event, Hardness, Target};

/// What `log.level` calls the audit.
const TARGET: &str = "coherd::audit";

/// Most targets that are spelt out, at `debug`.
const SPELT_MAX: usize = 100;

/// Who sent the request that an event came with.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The name of the token that allowed it; `None` where none is asked for.
    pub token: Option<String>,
    /// The other end of the connection: a proxy, if there is one between.
    pub peer: IpAddr,
}

/// An event on its way into the log. Dropped before its end, it is told as one whose publisher did not wait for it.
pub(super) struct Entry<'a> {
    terms: &'a Terms,
    what: What,
    /// The targets, where the log is to show them.
    spelt: Option<String>,
    told: bool,
}

/// What an event names, in numbers: keys, prefixes and tags are shown at `debug` only.
#[derive(Debug, Default, PartialEq, Eq)]
struct What {
    /// The event's own word for who it is from.
    source: String,
    namespaces: String,
    keys: usize,
    prefixes: usize,
    tags: usize,
    all: bool,
    soft: bool,
}

impl<'a> Entry<'a> {
    /// `None` if nobody wants to know: a write's own event is told of by the write.
    pub(super) fn of(event: &Event, terms: &'a Terms) -> Option<Self> {
        if terms.door == Door::Write || !enabled!(target: TARGET, Level::INFO) {
            return None;
        }
        let spelt = enabled!(target: TARGET, Level::DEBUG).then(|| spelt(&event.targets));
        Some(Self { terms, what: What::of(event), spelt, told: false })
    }

    /// It is logged, or why not.
    pub(super) fn ended(mut self, published: &Result<Receipt, PublishError>) {
        match published {
            // Every instance hears the channel, and one of them logs what it hears.
            Ok(receipt) if receipt.repeated && self.terms.door == Door::Pubsub => self.told = true,
            Ok(receipt) => {
                let outcome = match receipt {
                    Receipt { repeated: true, .. } => "repeated",
                    Receipt { deferred: true, .. } => "deferred",
                    _ => "logged",
                };
                self.tell(&receipt.id.to_string(), outcome);
            }
            Err(PublishError::NotOnBoundary(_)) => self.tell("", "refused"),
            Err(PublishError::Backend(_)) => self.tell("", "failed"),
        }
    }

    fn tell(&mut self, id: &str, outcome: &'static str) {
        self.told = true;
        let What { source, namespaces, keys, prefixes, tags, all, soft } = &self.what;
        let sender = self.terms.sender.as_ref();
        let peer = sender.map(|sender| sender.peer.to_string());
        info!(
            target: TARGET,
            { audit.door = self.terms.door.label(),
            audit.token = sender.and_then(|sender| sender.token.as_deref()),
            audit.peer = peer.as_deref(),
            audit.source = source.as_str(),
            audit.id = id,
            audit.outcome = outcome,
            audit.namespaces = namespaces.as_str(),
            audit.keys = keys,
            audit.prefixes = prefixes,
            audit.tags = tags,
            audit.all = all,
            audit.soft = soft },
            "invalidation"
        );
        if let Some(spelt) = &self.spelt {
            debug!(target: TARGET, { audit.id = id, audit.targets = spelt.as_str() }, "what the invalidation names");
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell("", "unknown");
        }
    }
}

/// Events that clients of the server have logged there by `FCALL`, told to this instance and no other. Who they were is
/// the server's to know; what they named is in the log.
pub(super) fn called(count: u64, last: &str) {
    if count != 0 {
        info!(
            target: TARGET,
            { audit.door = "fcall",
            audit.count = count,
            audit.until = last,
            audit.outcome = "logged" },
            "invalidations that the server logged by itself"
        );
    }
}

impl What {
    fn of(event: &Event) -> Self {
        let mut what = Self {
            source: event.provenance.source.clone(),
            soft: event.hardness == Hardness::Soft,
            ..Self::default()
        };
        let mut namespaces = BTreeSet::new();
        for target in &event.targets {
            match target {
                Target::Key(namespace, _) => {
                    namespaces.insert(namespace);
                    what.keys += 1;
                }
                Target::Prefix(namespace, _) => {
                    namespaces.insert(namespace);
                    what.prefixes += 1;
                }
                Target::Namespace(namespace) => {
                    namespaces.insert(namespace);
                    what.all = true;
                }
                Target::Tag(_) => what.tags += 1,
                Target::All => what.all = true,
            }
        }
        what.namespaces = namespaces.into_iter().map(|name| &**name).collect::<Vec<_>>().join(",");
        what
    }
}

fn spelt(targets: &[Target]) -> String {
    let spelt = targets.iter().take(SPELT_MAX).map(|target| match target {
        Target::Key(namespace, key) => format!("key {}/{}", &**namespace, &**key),
        Target::Prefix(namespace, prefix) => format!("prefix {}/{}", &**namespace, &**prefix),
        Target::Namespace(namespace) => format!("all of {}", &**namespace),
        Target::Tag(tag) => format!("tag {}", &**tag),
        Target::All => "everything".to_owned(),
    });
    let spelt = spelt.collect::<Vec<_>>().join(", ");
    match targets.len().checked_sub(SPELT_MAX) {
        Some(more @ 1..) => format!("{spelt} and {more} more"),
        _ => spelt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Key, Namespace, Prefix, Tag};

    #[test]
    fn what_an_event_names_is_counted_and_spelt_out_only_so_far() {
        let namespace = |name| Namespace::new(name).unwrap();
        let mut event = Event::hard(vec![
            Target::Key(namespace("b"), Key::new("k").unwrap()),
            Target::Key(namespace("a"), Key::new("k").unwrap()),
            Target::Prefix(namespace("a"), Prefix::new("p/").unwrap()),
            Target::Tag(Tag::new("t").unwrap()),
        ]);
        event.provenance.source = "billing".to_owned();
        let source = "billing".to_owned();
        let counted =
            What { source, namespaces: "a,b".to_owned(), keys: 2, prefixes: 1, tags: 1, ..What::default() };
        assert_eq!(What::of(&event), counted);
        assert_eq!(spelt(&event.targets), "key b/k, key a/k, prefix a/p/, tag t");
        let all = Event::hard(vec![Target::Namespace(namespace("a"))]);
        assert_eq!(What::of(&all), What { namespaces: "a".to_owned(), all: true, ..What::default() });
        let many = vec![Target::All; SPELT_MAX + 7];
        assert!(spelt(&many).ends_with(", everything and 7 more"));
        assert!(!spelt(&many[..SPELT_MAX]).contains("more"));
    }
}
