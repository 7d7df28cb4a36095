//! Waiting together: while one question of what has reached the disk or the replicas is open, all that is written
//! meanwhile waits for the next, and the answer to that one holds for all of it.
//!
//! The server keeps back whatever stands behind such a question on its connection: with one for each write, a write would
//! wait for the disk or for a distant replica as often as there are writes before it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OnceCell};

use super::connection::Connection;
use super::durable::Aof;
use crate::backend::BackendError;
use crate::model::{Shard, ShardCount};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// How many replicas have it.
    Replicas,
    /// Whether it is in the append-only file on disk.
    Disk,
}

const QUESTIONS: usize = 2;

/// The questions of a generation, each connection with one at a time.
pub(super) struct Rounds {
    lanes: Vec<Lane>,
    next: AtomicUsize,
    aof: Aof,
}

struct Lane {
    connection: Connection,
    turn: Turn<()>,
    /// By shard and question.
    rounds: Vec<Round>,
}

/// Who comes in time for the question that is asked next.
#[derive(Default)]
struct Round(Mutex<Arc<OnceCell<Result<u64, BackendError>>>>);

impl Rounds {
    /// Over those connections, which nothing else may need at once.
    pub(super) fn over(connections: &[Connection], shards: ShardCount, aof: Aof) -> Self {
        let lane = |connection: &Connection| Lane {
            connection: connection.clone(),
            turn: Turn::default(),
            rounds: shards.all().flat_map(|_| [(); QUESTIONS]).map(|()| Round::default()).collect(),
        };
        Self { lanes: connections.iter().map(lane).collect(), next: AtomicUsize::new(0), aof }
    }

    /// What the server does with its append-only file, as of the handshake.
    pub(super) fn aof(&self) -> Aof {
        self.aof
    }

    /// What `ask` says when it is asked after this. Who is dropped meanwhile leaves the asking to another.
    pub(super) async fn join(
        &self,
        shard: Shard,
        question: Question,
        ask: impl AsyncFnOnce(&Connection) -> Result<u64, BackendError>,
    ) -> Result<u64, BackendError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let lanes = || (0..self.lanes.len()).map(|at| &self.lanes[(first + at) % self.lanes.len()]);
        let idle = lanes().find(|lane| lane.turn.try_lock().is_ok()).or_else(|| lanes().next());
        let at = usize::from(shard.0) * QUESTIONS + question as usize;
        let Some((lane, round)) = idle.and_then(|lane| Some((lane, lane.rounds.get(at)?))) else {
            return Err(BackendError::Unavailable("there is no connection to wait on".to_owned()));
        };
        let answer = Arc::clone(&round.0.lock().unwrap_or_else(PoisonError::into_inner));
        let asked = answer.get_or_init(async || {
            let _turn = lane.turn.lock().await;
            // Whoever comes from here on may have written after the question.
            *round.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
            ask(&lane.connection).await
        });
        asked.await.clone()
    }
}
