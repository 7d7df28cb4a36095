//! The heartbeat of one shard: a write that says "I have come so far" and asks "how far is the log?".
//!
//! Its answer is proof for [`View::leased`](super::core::View::leased), counted from when it was *sent*: the answer's own
//! time would count what the network made of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::audit;
use super::meter::Meter;
use super::server_clock::Sampled;
use super::shared::Shared;
use super::tail::Answered;
use crate::backend::{BackendError, Beat, Member};
use crate::model::{LogId, Shard};
use crate::mutants;

/// The longest pause between two heartbeats.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Least pause, however often a head is asked for.
const PAUSE_MIN: Duration = Duration::from_millis(5);

pub(super) struct Heartbeat {
    shared: Arc<Shared>,
    shard: Shard,
    heads: mpsc::Sender<Answered>,
}

impl Heartbeat {
    pub(super) fn new(shared: Arc<Shared>, shard: Shard, heads: mpsc::Sender<Answered>) -> Self {
        Self { shared, shard, heads }
    }

    pub(super) async fn run(&self, stop: &CancellationToken) {
        let pause = (self.shared.shortest / 8).min(PAUSE_MAX);
        let mut beats = 0;
        let mut link = self.shared.backend.link();
        while !stop.is_cancelled() {
            beats += 1;
            let connected = self.beat(beats).await;
            let kick = &self.shared.shard(self.shard).kick;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = kick.notified() => tokio::time::sleep(PAUSE_MIN).await,
                // Back at once when the connection is.
                _ = link.changed(), if !connected => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether the backend answered.
    async fn beat(&self, beats: u64) -> bool {
        let state = self.shared.shard(self.shard);
        let member = Member {
            instance: self.shared.member.clone(),
            cursor: state.view.cursor(),
            max_staleness: self.shared.longest,
            beats,
        };
        let sent = self.shared.clock.now();
        match self.shared.backend.beat(self.shard, Beat { member, known: state.known() }).await {
            Ok(head) => {
                if state.server_clock.sample(sent, self.shared.clock.now(), head.time_us) == Sampled::Set {
                    info!(shard = self.shard.0, "the server's clock was set");
                }
                self.shared.metrics.count_called(head.called);
                audit::called(head.called, &LogId::new(vec![(self.shard, head.token.seq)]).to_string());
                // A follower that has ended is being restarted; the next heartbeat reaches it.
                let sent = if mutants::LEASE_FROM_REPLY { self.shared.clock.now() } else { sent };
                drop(self.heads.send(Answered { shard: self.shard, sent, head }).await);
                true
            }
            Err(error) => {
                debug!(shard = self.shard.0, error = %error, "heartbeat failed");
                if matches!(error, BackendError::TimedOut) {
                    // A connection that is half open is found by nothing else.
                    self.shared.backend.distrust(self.shard, "a heartbeat had no answer");
                }
                false
            }
        }
    }
}
