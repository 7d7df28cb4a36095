//! An operation's way to its shard: which connections, and what becomes of them when their server refuses.

use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::future::join_all;

use super::cluster::Node;
use super::connection::{Connection, Task};
use super::link::Generation;
use super::{Valkey, errors, handshake, keeps_losing, peeks};
use crate::backend::{BackendError, EntryId, Stored};
use crate::model::Shard;

/// Connections to the server of a shard.
pub(super) struct At {
    shard: Shard,
    generation: Arc<Generation>,
    /// On Valkey Cluster.
    node: Option<Arc<Node>>,
}

impl At {
    /// The shard that it leads to.
    pub(super) fn shard(&self) -> Shard {
        self.shard
    }
}

impl Deref for At {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.generation
    }
}

impl Valkey {
    /// The way to a shard, or why there is none.
    pub(super) fn at(&self, shard: Shard) -> Result<At, BackendError> {
        Ok(match &self.cluster {
            Some(cluster) => {
                let (node, generation) = cluster.at(shard)?;
                At { shard, generation, node: Some(node) }
            }
            None => At { shard, generation: self.primary.connected()?, node: None },
        })
    }

    /// The way to an entry's shard, or why there is none.
    pub(super) fn at_entry(&self, entry: &EntryId) -> Result<At, BackendError> {
        self.at(self.context.keys.of(entry).0)
    }

    /// What an operation says while the generation lives. A server that became a replica ends it; of a shard that has moved
    /// the map is asked for again.
    pub(super) async fn run<T>(
        &self,
        at: &At,
        operation: Pin<&mut impl Future<Output = Result<T, BackendError>>>,
    ) -> Result<T, BackendError> {
        // Pinned where it is: each hand that it went through would have room for it.
        let result = at.within(operation).await;
        match (&result, &self.cluster) {
            (Err(BackendError::Refused(why)), _) if errors::is_demotion(why) => {
                at.end("the server is no primary any more");
            }
            (Err(BackendError::Unavailable(why)), Some(cluster)) if errors::is_moved(why) => {
                cluster.is_elsewhere(at.shard);
            }
            _ => {}
        }
        result
    }

    /// Begins the lineage of a shard that lost its data, over a connection in use.
    pub(super) async fn reconcile(&self, connection: &Connection, shard: Shard) -> Result<(), BackendError> {
        Ok(handshake::reconcile(&self.context, connection, shard).await?)
    }

    /// Asks what needs the shard's lineage: of a server that has lost it (`None`) once more, after beginning one.
    pub(super) async fn in_a_lineage<T, F>(&self, at: &At, ask: impl Fn() -> F) -> Result<T, BackendError>
    where
        F: Future<Output = Result<Option<T>, BackendError>>,
    {
        let asked = pin!(async {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            self.reconcile(at.data(), at.shard()).await?;
            ask().await?.ok_or_else(keeps_losing)
        });
        self.run(at, asked).await
    }

    /// A connection of the caller's own to the server of a shard.
    pub(super) async fn open_at(&self, at: &At) -> Result<(Connection, Task), BackendError> {
        let (connection, task, _) = self.open(&at.opener, at.node.as_deref()).await?;
        Ok((connection, task))
    }

    /// Reads an entry where its shard is.
    pub(super) async fn peek_one(&self, entry: &EntryId) -> Result<Option<Stored>, BackendError> {
        let at = self.at_entry(entry)?;
        let asked = at.batches().peeks.ask(&self.context, &at, at.shard, entry.clone());
        self.run(&at, pin!(asked)).await
    }

    /// Reads entries where their shards are. What could not be asked for counts as none, unless that is all.
    pub(super) async fn peek_primaries(
        &self,
        entries: &[EntryId],
    ) -> Result<Vec<Option<Stored>>, BackendError> {
        let mut servers: Vec<(At, Vec<usize>)> = Vec::new();
        let (mut found, mut why): (Vec<Option<Stored>>, _) = (vec![None; entries.len()], None);
        for (index, entry) in entries.iter().enumerate() {
            match self.at_entry(entry) {
                Ok(at) => {
                    match servers.iter_mut().find(|(of, _)| Arc::ptr_eq(&of.generation, &at.generation)) {
                        Some((_, indices)) => indices.push(index),
                        None => servers.push((at, vec![index])),
                    }
                }
                Err(error) => why = Some(error),
            }
        }
        let peeked = join_all(servers.iter().map(async |(at, indices)| {
            let of: Vec<EntryId> = indices.iter().map(|index| entries[*index].clone()).collect();
            self.run(at, pin!(peeks::peek(&self.context, at.data(), &of))).await
        }));
        let mut any = entries.is_empty();
        for ((_, indices), peeked) in servers.iter().zip(peeked.await) {
            match peeked {
                Ok(peeked) => {
                    any = true;
                    for (index, stored) in indices.iter().zip(peeked) {
                        found[*index] = stored;
                    }
                }
                Err(error) => why = Some(error),
            }
        }
        match why {
            Some(error) if !any => Err(error),
            _ => Ok(found),
        }
    }
}
