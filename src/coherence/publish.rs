//! Publishing: an event on its way into every shard it concerns.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::join_all;

use super::core::{Part, Wait};
use super::meter::Meter;
use super::shared::Shared;
use super::traced;
use super::{Door, PublishError, Receipt, Sender};
use crate::backend::{Along, EntryId, Publication, Published};
use crate::model::{Event, LogId, Namespace, Prefix, Seq, Shard, ShardCount, Target, widen};

/// How an event is to be logged.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The door it came through.
    pub door: Door,
    /// Refuse a prefix that ends on no boundary instead of widening it.
    pub exact: bool,
    /// Ask members to confirm at once, for a publisher that waits.
    pub confirm: bool,
    /// Who is to be named in the audit; `None`: nobody but the event's own source.
    pub sender: Option<Sender>,
    /// Count a `request_id` as seen only if its event has a higher number than this in its shard.
    pub repeat_after: Vec<(Shard, Seq)>,
}

impl Terms {
    /// The usual terms of a door.
    pub fn of(door: Door) -> Self {
        Self { door, exact: false, confirm: false, sender: None, repeat_after: Vec::new() }
    }
}

/// What this instance knows of namespaces.
pub(super) struct Known {
    pub(super) versions: HashMap<Namespace, u32>,
    /// Their keys are names of entries of other keys, and so of other shards.
    pub(super) depended_on: HashSet<Namespace>,
}

/// Logs `event` in every shard it concerns; an error if one of them did not say that it has it.
pub(super) async fn publish(
    shared: &Shared,
    known: &Known,
    event: Event,
    along: Option<Along>,
    terms: &Terms,
) -> Result<Receipt, PublishError> {
    let (mut event, widened) = widened(event, terms.exact)?;
    let span = traced::publishing(shared, &mut event);
    let parts = split(&event, shared.count(), &known.depended_on);
    let published = parts.into_iter().map(|(shard, event)| {
        let publication = Publication {
            entries: entries(&event, &known.versions),
            confirm: terms.confirm,
            along: along
                .as_ref()
                .filter(|it| shared.count().of(&it.entry().namespace, &it.entry().key) == shard)
                .cloned(),
            known: shared.shard(shard).known(),
            repeat_after: terms.repeat_after.iter().find(|(of, _)| *of == shard).map_or(0, |(_, seq)| *seq),
            event,
        };
        log(shared, shard, publication)
    });
    // One shard that cannot be reached keeps the event from no other.
    let published = join_all(published).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let answered = shared.clock.now();
    traced::published(span, terms.door, &published);
    if published.iter().any(|(_, it)| !it.repeated) {
        shared.metrics.count_published(terms.door);
    }
    let id = LogId::new(published.iter().map(|(shard, it)| (*shard, it.token.seq)).collect());
    let repeated = published.iter().all(|(_, it)| it.repeated);
    let tokens = published.iter().map(|(shard, it)| (*shard, it.token.clone())).collect();
    let deferred = published.iter().any(|(_, it)| it.deferred);
    let stored = published.iter().any(|(_, it)| it.stored);
    let durability = published.iter().map(|(_, it)| it.durability).max().unwrap_or_default();
    let parts = published.into_iter().map(|(shard, it)| part(shared, shard, it)).collect();
    Ok(Receipt {
        id,
        repeated,
        widened,
        deferred,
        stored,
        durability,
        tokens,
        wait: Wait::new(parts, answered, shared.longest),
    })
}

async fn log(
    shared: &Shared,
    shard: Shard,
    publication: Publication,
) -> Result<(Shard, Published), PublishError> {
    let event = publication.event.clone();
    let published = shared.backend.publish(shard, publication).await?;
    let state = shared.shard(shard);
    state.learn_head(&published.token);
    // The publisher's own instance obeys before the publisher has its answer, without waiting for the announcement.
    if state.view.lineage().as_ref() == Some(&published.token.lineage) {
        state.view.mark(published.token.seq, &event);
    }
    Ok((shard, published))
}

fn part(shared: &Shared, shard: Shard, published: Published) -> Part {
    let followed_since = shared.shard(shard).followed_since(&published.token.lineage);
    let Published { token, members, .. } = published;
    Part { shard, seq: token.seq, lineage: token.lineage, members, followed_since }
}

/// Prefixes on their boundaries, and what became of those that were not.
pub(crate) fn widened(
    mut event: Event,
    exact: bool,
) -> Result<(Event, BTreeMap<String, String>), PublishError> {
    let mut widened = BTreeMap::new();
    for target in &mut event.targets {
        let Target::Prefix(namespace, prefix) = target else { continue };
        let boundary = widen(prefix);
        if boundary == Some(&**prefix) {
            continue;
        }
        if exact {
            return Err(PublishError::NotOnBoundary(prefix.to_string()));
        }
        widened.insert(prefix.to_string(), boundary.unwrap_or_default().to_owned());
        *target = match boundary.map(Prefix::new) {
            Some(Ok(boundary)) => Target::Prefix(namespace.clone(), boundary),
            _ => Target::Namespace(namespace.clone()),
        };
    }
    Ok((event, widened))
}

/// What each shard is told: its own keys, and every target that has no shard.
pub(crate) fn split(
    event: &Event,
    count: ShardCount,
    depended_on: &HashSet<Namespace>,
) -> Vec<(Shard, Event)> {
    if count == ShardCount::ONE && !event.targets.is_empty() {
        return vec![(Shard(0), event.clone())];
    }
    let home = |target: &Target| match target {
        Target::Key(namespace, key) if !depended_on.contains(namespace) => Some(count.of(namespace, key)),
        _ => None,
    };
    let part = |shard: Shard| {
        let concerns = |target: &&Target| home(target).is_none_or(|of| of == shard);
        let targets: Vec<Target> = event.targets.iter().filter(concerns).cloned().collect();
        (!targets.is_empty()).then(|| (shard, Event { targets, ..event.clone() }))
    };
    count.all().filter_map(part).collect()
}

/// The L2 entries of the keys it names, where this instance knows the namespace's version.
fn entries(event: &Event, versions: &HashMap<Namespace, u32>) -> Vec<EntryId> {
    let entry = |target: &Target| match target {
        Target::Key(namespace, key) => {
            let version = *versions.get(namespace)?;
            Some(EntryId { namespace: namespace.clone(), version, key: key.clone() })
        }
        _ => None,
    };
    event.targets.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Key, Tag};

    fn ns() -> Namespace {
        Namespace::new("users").unwrap()
    }

    fn prefix(text: &str) -> Target {
        Target::Prefix(ns(), Prefix::new(text).unwrap())
    }

    #[test]
    fn a_prefix_is_widened_and_the_publisher_is_told() {
        let (event, told) =
            widened(Event::hard(vec![prefix("eu/"), prefix("eu/d"), prefix("x")]), false).unwrap();
        assert_eq!(event.targets, [prefix("eu/"), prefix("eu/"), Target::Namespace(ns())]);
        let told: Vec<_> = told.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        assert_eq!(told, [("eu/d", "eu/"), ("x", "")]);
        assert!(
            matches!(widened(Event::hard(vec![prefix("x")]), true), Err(PublishError::NotOnBoundary(it)) if it == "x")
        );
    }

    #[test]
    fn a_key_goes_to_its_shard_and_everything_else_to_all() {
        let count = ShardCount::new(16);
        let keys = (0..100).map(|n| Target::Key(ns(), Key::new(&n.to_string()).unwrap()));
        let tag = Target::Tag(Tag::new("t").unwrap());
        let event = Event::hard(keys.chain([tag.clone()]).collect());
        let parts = split(&event, count, &HashSet::new());
        assert_eq!(parts.len(), 16);
        assert!(parts.iter().all(|(_, part)| part.targets.contains(&tag)));
        assert_eq!(parts.iter().map(|(_, part)| part.targets.len() - 1).sum::<usize>(), 100);
        let only = Event::hard(vec![Target::Key(ns(), Key::new("1").unwrap())]);
        assert_eq!(split(&only, count, &HashSet::new()), [(count.of("users", "1"), only.clone())]);
        assert_eq!(split(&only, count, &HashSet::from([ns()])).len(), 16);
    }
}
