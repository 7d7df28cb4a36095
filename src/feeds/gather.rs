//! Many small events made few: a statement that changes ten thousand rows leaves as many events of one key each.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use sha2::{Digest as _, Sha256};

use crate::coherence::{Coherence, Door, PublishError, Terms};
use crate::model::{Event, Target};

/// Most events that are gathered side by side.
const GROUPS_MAX: usize = 32;

/// Gathers events that differ in nothing but what they name, and publishes them.
pub(super) struct Gather<'a> {
    coherence: &'a Coherence,
    terms: Terms,
    groups: Vec<Group>,
}

/// An event that grows.
struct Group {
    event: Event,
    named: HashSet<Target>,
    /// The `request_id` of its first part, and how many parts there are.
    first: String,
    parts: usize,
    /// Of every part's.
    hash: Sha256,
}

impl<'a> Gather<'a> {
    pub(super) fn new(coherence: &'a Coherence, door: Door) -> Self {
        Self { coherence, terms: Terms::of(door), groups: Vec::new() }
    }

    /// Adds an event. `request_id` stands for it where it has none of its own.
    pub(super) async fn add(&mut self, event: Event, request_id: &str) -> Result<(), PublishError> {
        // Its publisher wants this very event to be known again.
        if event.request_id.is_some() {
            return self.publish(event).await;
        }
        let alike = |group: &Group| {
            group.event.hardness == event.hardness && group.event.provenance == event.provenance
        };
        if let Some(at) = self.groups.iter().position(alike) {
            let new = event.targets.iter().filter(|target| !self.groups[at].named.contains(*target)).count();
            if self.groups[at].event.targets.len() + new <= Event::TARGETS_MAX {
                self.groups[at].add(event, request_id);
                return Ok(());
            }
            let full = self.groups.swap_remove(at);
            self.publish(full.finish(self.terms.door)).await?;
        } else if self.groups.len() == GROUPS_MAX {
            self.finish().await?;
        }
        self.groups.push(Group::new(event, request_id));
        Ok(())
    }

    /// Publishes what is left. When it returns the log has all of it.
    pub(super) async fn finish(&mut self) -> Result<(), PublishError> {
        let door = self.terms.door;
        let events: Vec<Event> = self.groups.drain(..).map(|group| group.finish(door)).collect();
        try_join_all(events.into_iter().map(|event| self.coherence.publish(event, &self.terms))).await?;
        Ok(())
    }

    async fn publish(&self, event: Event) -> Result<(), PublishError> {
        self.coherence.publish(event, &self.terms).await.map(drop)
    }
}

impl Group {
    fn new(event: Event, request_id: &str) -> Self {
        let named = event.targets.iter().cloned().collect();
        let hash = Sha256::new_with_prefix(request_id);
        Self { event, named, first: request_id.to_owned(), parts: 1, hash }
    }

    fn add(&mut self, event: Event, request_id: &str) {
        for target in event.targets {
            if self.named.insert(target.clone()) {
                self.event.targets.push(target);
            }
        }
        self.parts += 1;
        self.hash.update(b" ");
        self.hash.update(request_id);
    }

    /// The same parts in the same order have the same `request_id`: read again, they are not logged again.
    fn finish(self, door: Door) -> Event {
        let id = if self.parts == 1 {
            self.first
        } else {
            let hash: [u8; 32] = self.hash.finalize().into();
            let half = hash.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
            format!("{half:032x}")
        };
        Event { request_id: Some(format!("{}:{id}", door.label())), ..self.event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Key, Namespace};

    fn event(keys: &[&str]) -> Event {
        let namespace = Namespace::new("n").unwrap();
        Event::hard(keys.iter().map(|key| Target::Key(namespace.clone(), Key::new(key).unwrap())).collect())
    }

    #[test]
    fn one_event_keeps_its_id_and_several_have_one_of_all_in_their_order() {
        assert_eq!(Group::new(event(&["1"]), "a").finish(Door::Postgres).request_id.unwrap(), "postgres:a");
        let both = |ids: [&str; 2]| {
            let mut group = Group::new(event(&["1"]), ids[0]);
            group.add(event(&["2", "1"]), ids[1]);
            group.finish(Door::Postgres)
        };
        assert_eq!(both(["a", "b"]).targets, event(&["1", "2"]).targets);
        assert_eq!(both(["a", "b"]).request_id, both(["a", "b"]).request_id);
        assert_ne!(both(["a", "b"]).request_id, both(["b", "a"]).request_id);
        assert_ne!(both(["a", "b"]).request_id, both(["a", "c"]).request_id);
    }
}
