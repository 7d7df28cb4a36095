//! Logging an event, and what takes effect with it.

use super::super::expiring::FOREVER;
use super::super::leases::held_by;
use super::super::queues::Behind;
use super::{Kept, REQUEST_MS, ShardState, after, lease_place, place};
use crate::backend::{
    Along, BackendError, Durability, EntryId, LoadId, Logged, Publication, Published, Put, Signal, Stored,
    Token,
};
use crate::model::{Event, Hardness, Name, Nonce, Prefix, Seq, Target, widen};
use crate::mutants;

impl ShardState {
    /// See [`crate::backend::Backend::publish`].
    pub fn publish(&mut self, now: u64, publication: Publication) -> Result<Published, BackendError> {
        let Publication { mut event, entries, confirm, along, known, repeat_after } = publication;
        let mut token = self.token(now, known);
        let members = self.members().into();
        let published = |token: Token, repeated| Published {
            token,
            repeated,
            members,
            deferred: false,
            stored: false,
            durability: Durability::Memory,
        };
        if let Some(id) = &event.request_id
            && let Some(first) = self.requests.get(now, id)
            && repeat_after < first.value.seq
        {
            return Ok(published(first.value.clone(), true));
        }
        if let Some(Along::Pending { partition, backlog_max, .. }) = &along {
            let lines = self.queues.lines(*partition);
            if *backlog_max <= lines {
                return Err(BackendError::Full(lines));
            }
        }
        for target in &mut event.targets {
            widened(target);
        }
        self.seq = self.seq.saturating_add(1);
        token.seq = self.seq;
        if let Some(id) = &event.request_id {
            let until = now.saturating_add(REQUEST_MS);
            self.requests.insert(now, id.clone(), (token.clone(), until), 1);
        }
        if !mutants::PLAIN_DEL {
            self.mark(&event);
        }
        let holder = along.as_ref().and_then(|along| {
            self.leases.holder(now, &lease_place(along.entry())).map(|(load, of)| (load.clone(), of.clone()))
        });
        for target in &event.targets {
            if let Target::Key(namespace, key) = target
                && !mutants::PLAIN_DEL
            {
                let place = (namespace.clone(), key.clone());
                self.end_lease(now, place, false);
            }
        }
        let mut answer = published(token, false);
        for entry in entries {
            // A pending write is newer than whatever the event is about.
            if self.is_dirty(now, &entry) {
                answer.deferred = true;
            } else if event.hardness == Hardness::Hard {
                self.entries.remove(&place(&entry));
            }
        }
        if let Some(along) = along {
            answer.stored = self.goes_along(now, along, &answer.token, holder);
        }
        self.append(now, event, confirm);
        Ok(answer)
    }

    /// Whether a value was stored. `holder` had the key's lease before the event ended it.
    fn goes_along(&mut self, now: u64, along: Along, token: &Token, holder: Option<(LoadId, Token)>) -> bool {
        match along {
            Along::Value { entry, load, put } => {
                self.store(now, &entry, load, token.clone(), put);
                true
            }
            Along::Quarantine { entry, load, hold } => {
                let name = held_by(&load, holder.as_ref().map(|(load, _)| load));
                self.leases.hold(now, lease_place(&entry), name, token, hold);
                false
            }
            Along::Ended { entry, load, put, written } => {
                let undisturbed = holder.is_some_and(|(holder, of)| {
                    holder == held_by(&load, None) && of.lineage == token.lineage
                });
                self.ended(now, &entry, load, token, put.filter(|_| undisturbed), written)
            }
            Along::Pending { entry, load, put, partition, .. } => {
                self.put_behind(now, &entry, load, token, put, partition);
                true
            }
        }
    }

    fn ended(
        &mut self,
        now: u64,
        entry: &EntryId,
        load: LoadId,
        token: &Token,
        put: Option<Put>,
        written: Option<Seq>,
    ) -> bool {
        let dirty = self.entries.get(now, &place(entry)).and_then(|item| item.value.stored.dirty);
        // What is pending stays unless the origin has a newer write.
        if dirty.is_some_and(|dirty| written.is_none_or(|written| written <= dirty)) {
            return false;
        }
        let stored = put.is_some();
        match put {
            Some(put) => self.store(now, entry, load, token.clone(), put),
            None => drop(self.entries.remove(&place(entry))),
        }
        stored
    }

    fn put_behind(
        &mut self,
        now: u64,
        entry: &EntryId,
        load: LoadId,
        token: &Token,
        put: Put,
        partition: u16,
    ) {
        let before = self.entries.get(now, &place(entry)).and_then(|item| item.value.behind.clone());
        let line = self.queues.append(now, partition, entry.clone(), token.clone());
        let parked = before.and_then(|before| before.parked).and_then(|(queue, old)| {
            let due = self.queues.unpark(queue, old)?;
            self.queues.drop_line(queue, old);
            self.queues.park(partition, line, due);
            Some((partition, line))
        });
        let behind =
            Behind { attempts: 0, since: now, fresh: put.fresh, kept: put.kept, parked, error: None };
        let stored = Stored {
            token: token.clone(),
            names: put.names,
            load,
            envelope: put.envelope,
            dirty: Some(token.seq),
        };
        let kept = Kept { stored, fresh_until: after(now, put.fresh), behind: Some(behind) };
        // Nothing but its flush ends it, and nothing evicts it.
        self.entries.insert(now, place(entry), (kept, FOREVER), 0);
        if self.queues.wake(now, partition) {
            self.announcements.push(Signal::Work(self.shard, partition));
        }
    }

    pub(super) fn mark(&mut self, event: &Event) {
        for target in &event.targets {
            let name = match target {
                Target::Key(namespace, key) => Name::key(namespace, key),
                Target::Prefix(namespace, prefix) => Name::prefix(namespace, prefix),
                Target::Namespace(namespace) => Name::namespace(namespace),
                Target::Tag(tag) => Name::tag(tag),
                Target::All => {
                    self.marks.mark_all(event.hardness, self.seq);
                    continue;
                }
            };
            self.marks.mark(event.hardness, name, self.seq);
        }
        self.marks.rotate(self.limits.watermarks_max, self.seq);
    }

    pub(super) fn append(&mut self, now: u64, event: Event, confirm: bool) {
        let nonce = Nonce::new(&self.ids.next());
        let (lineage, last) = self.lineage(now, 0);
        let lineage = lineage.clone();
        let previous = std::mem::replace(last, nonce.clone());
        let logged =
            Logged { seq: self.seq, previous, nonce, event, confirm, at_us: now.saturating_mul(1000) };
        self.log.push_back(logged.clone());
        while self.limits.log_max_events < self.log.len() {
            self.log.pop_front();
        }
        self.announcements.push(Signal::Event { shard: self.shard, lineage, logged });
    }
}

/// What a prefix off its boundary stands for is what is logged.
fn widened(target: &mut Target) {
    if let Target::Prefix(namespace, prefix) = target {
        let boundary = widen(prefix).and_then(|boundary| Prefix::new(boundary).ok());
        let namespace = namespace.clone();
        *target =
            boundary.map_or(Target::Namespace(namespace.clone()), |prefix| Target::Prefix(namespace, prefix));
    }
}
