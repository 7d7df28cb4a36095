//! Looking at what waits and at what died; trying the dead again, or dropping them.

use serde::Serialize;

use super::{Shared, Writes, fence};
use crate::backend::{BackendError, Dead, wire};
use crate::coherence::{Door, Terms};
use crate::guard::Urgency;
use crate::model::{Content, Event, LogId, Shard, Target};
use crate::origin::{Applied, Change};

/// Dead letters that are read at once while one is looked for.
const PAGE: usize = 500;

/// A write that the origin does not have yet.
#[derive(Clone, Debug, Serialize)]
pub struct PendingWrite {
    /// `Coherd-Write-Id`.
    pub id: String,
    /// Where.
    pub namespace: String,
    /// Which key.
    pub key: String,
    /// How often the origin was asked in vain.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since 1970.
    pub since_ms: u64,
    /// What the last attempt brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It is parked, and tried again in so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
}

/// A write that was given up.
#[derive(Clone, Debug, Serialize)]
pub struct DeadWrite {
    /// `Coherd-Write-Id`.
    pub id: String,
    /// Where.
    pub namespace: String,
    /// Which key.
    pub key: String,
    /// `put` or `delete`.
    pub change: &'static str,
    /// Bytes of its value.
    pub bytes: usize,
    /// How often the origin was asked.
    pub attempts: u32,
    /// When it was accepted, in milliseconds since 1970.
    pub since_ms: u64,
    /// When it was given up.
    pub died_ms: u64,
    /// Why.
    pub error: String,
}

/// What became of a dead letter that was tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// It is at the origin.
    Applied,
    /// A newer write of its key was accepted since, or is at the origin: it is dropped.
    Superseded,
    /// It stays among the dead; why.
    Failed(String),
    /// There is none of that id.
    Unknown,
}

/// Why nothing was done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LettersError {
    /// The text is no id of a write.
    #[error("`{0}` is not the id of a write, such as `1234-0`")]
    Id(String),
    /// The backend did not say.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Writes {
    /// Pending writes, of a namespace or of all, at most `max`.
    pub async fn pending(
        &self,
        namespace: Option<&str>,
        max: usize,
    ) -> Result<Vec<PendingWrite>, BackendError> {
        let shared = &self.shared;
        let mut pending = Vec::new();
        for shard in shared.backend.shards().all() {
            for partition in 0..shared.settings.partitions {
                let waiting = shared.backend.waiting_writes(shard, partition, max).await?;
                pending.extend(
                    waiting.into_iter().filter(|it| wanted(namespace, &it.line.entry.namespace)).map(|it| {
                        PendingWrite {
                            id: id(shard, it.line.seq),
                            namespace: it.line.entry.namespace.to_string(),
                            key: it.line.entry.key.to_string(),
                            attempts: it.attempts,
                            since_ms: it.since_ms,
                            error: it.error,
                            due_ms: it.due.map(|due| u64::try_from(due.as_millis()).unwrap_or(u64::MAX)),
                        }
                    }),
                );
            }
        }
        pending.sort_by_key(|it| it.since_ms);
        pending.truncate(max);
        Ok(pending)
    }

    /// Dead letters, of a namespace or of all, oldest first, at most `max`.
    pub async fn dead(&self, namespace: Option<&str>, max: usize) -> Result<Vec<DeadWrite>, BackendError> {
        let mut found = Vec::new();
        for shard in self.shared.backend.shards().all() {
            let mut after = String::new();
            while found.len() < max {
                let page = self.shared.backend.dead_writes(shard, &after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.id);
                found.extend(
                    page.iter()
                        .filter(|dead| wanted(namespace, &dead.pending.line.entry.namespace))
                        .map(|dead| described(shard, dead)),
                );
            }
        }
        found.truncate(max);
        Ok(found)
    }

    /// Tries dead letters again, now, under the numbers they had: what the origin has of a later time stands.
    pub async fn retry(&self, ids: &[String]) -> Result<Vec<(String, Retried)>, LettersError> {
        let mut answers = Vec::new();
        for wanted in ids {
            let retried = match self.find(wanted).await? {
                Some((shard, dead)) => self.shared.again(shard, &dead).await?,
                None => Retried::Unknown,
            };
            answers.push((wanted.clone(), retried));
        }
        Ok(answers)
    }

    /// Drops dead letters; how many there were.
    pub async fn drop_dead(&self, ids: &[String]) -> Result<u64, LettersError> {
        let mut dropped = 0;
        for wanted in ids {
            if let Some((shard, dead)) = self.find(wanted).await? {
                dropped += self.shared.backend.drop_dead(shard, std::slice::from_ref(&dead.id)).await?;
            }
        }
        Ok(dropped)
    }

    async fn find(&self, wanted: &str) -> Result<Option<(Shard, Dead)>, LettersError> {
        let parsed: LogId = wanted.parse().map_err(|_| LettersError::Id(wanted.to_owned()))?;
        let [(shard, seq)] = parsed.parts() else { return Err(LettersError::Id(wanted.to_owned())) };
        if !self.shared.backend.shards().all().any(|of| of == *shard) {
            return Ok(None);
        }
        let mut after = String::new();
        loop {
            let page = self.shared.backend.dead_writes(*shard, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(None) };
            after.clone_from(&last.id);
            if let Some(dead) = page.into_iter().find(|dead| dead.pending.line.seq == *seq) {
                return Ok(Some((*shard, dead)));
            }
        }
    }
}

impl Shared {
    async fn again(&self, shard: Shard, dead: &Dead) -> Result<Retried, BackendError> {
        let line = &dead.pending.line;
        let found = self.backend.peek(std::slice::from_ref(&line.entry)).await?.into_iter().next().flatten();
        let retried = if found.is_some_and(|found| found.dirty.is_some()) {
            Retried::Superseded
        } else {
            self.at_the_origin(shard, dead).await
        };
        if matches!(retried, Retried::Applied | Retried::Superseded) {
            // The origin has changed without an event: copies that were loaded meanwhile are old.
            let entry = &line.entry;
            let event = Event::hard(vec![Target::Key(entry.namespace.clone(), entry.key.clone())]);
            let published = self.coherence.publish(event, &Terms::of(Door::Write)).await;
            published.map_err(|error| BackendError::Unavailable(error.to_string()))?;
            self.backend.drop_dead(shard, std::slice::from_ref(&dead.id)).await?;
        }
        Ok(retried)
    }

    async fn at_the_origin(&self, shard: Shard, dead: &Dead) -> Retried {
        let line = &dead.pending.line;
        let Some(slot) = self.slot(&line.entry.namespace) else {
            return Retried::Failed("this instance does not write the namespace's origin".to_owned());
        };
        let change = match content(dead) {
            Some(Content::Present(value)) => Change::Put(value),
            Some(Content::Absent) => Change::Delete,
            None => return Retried::Failed("the value cannot be read".to_owned()),
        };
        let fence = fence(shard, &dead.pending.lineage, line.seq);
        match slot.of.origin.write(&line.entry.key, &change, &fence, Urgency::default()).await {
            Ok(Applied::Done) => Retried::Applied,
            Ok(Applied::Superseded) => Retried::Superseded,
            Err(error) => Retried::Failed(error.to_string()),
        }
    }
}

fn wanted(namespace: Option<&str>, of: &str) -> bool {
    namespace.is_none_or(|wanted| wanted == of)
}

fn id(shard: Shard, seq: u64) -> String {
    LogId::new(vec![(shard, seq)]).to_string()
}

fn content(dead: &Dead) -> Option<Content> {
    wire::decode(&dead.envelope, usize::MAX).ok().map(|envelope| envelope.content)
}

fn described(shard: Shard, dead: &Dead) -> DeadWrite {
    let line = &dead.pending.line;
    let (change, bytes) = match content(dead) {
        Some(Content::Present(value)) => ("put", value.body.len()),
        Some(Content::Absent) => ("delete", 0),
        None => ("unreadable", dead.envelope.len()),
    };
    DeadWrite {
        id: id(shard, line.seq),
        namespace: line.entry.namespace.to_string(),
        key: line.entry.key.to_string(),
        change,
        bytes,
        attempts: dead.pending.attempts,
        since_ms: dead.pending.since_ms,
        died_ms: dead.died_ms,
        error: dead.error.clone(),
    }
}
