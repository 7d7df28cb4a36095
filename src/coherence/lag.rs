//! `origin_lag`: which loads may have read a replica of the origin that had not seen an event yet.
//!
//! A load's token says which events it has seen, but only its own read of the origin says what the value has. Where the
//! origin's replicas lag, a load that begins less than the lag after an event may bring the value of before it. Such a
//! value answers those who wait for it, for there is nothing better to be had; it is kept no longer than until the lag is
//! over. From then on every replica has seen the event, and the next load brings what it changed.

use std::time::Duration;

use super::core::Slots;
use super::face::Coherence;
use crate::backend::Token;
use crate::clock::Boot;
use crate::model::{Seq, Shard};

/// What a load may not have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// How much longer that may be so of a load that began now; zero if only of the one that was asked about.
    pub left: Duration,
    /// A hard event: the value of before it is not to be answered at all once the lag is over.
    pub hard: bool,
    /// The last event that it may not have seen.
    pub event: Seq,
}

impl Coherence {
    /// Whether a load of what has these names, which got its token and began to read the origin at `began`, may have read
    /// a replica that lags up to `lag`. Call it when the load has ended.
    pub fn unseen(
        &self,
        shard: Shard,
        slots: &Slots,
        token: &Token,
        began: Boot,
        lag: Duration,
    ) -> Option<Unseen> {
        if lag.is_zero() {
            return None;
        }
        let state = self.shard(shard);
        let now = self.clock().now();
        // Events up to the token that are not applied here yet may have named anything. They were logged before the token
        // was given out. Numbers of two histories say nothing of each other.
        let behind = state.view.lineage().as_ref() != Some(&token.lineage) || state.view.cursor() < token.seq;
        let newest = state.view.newest(slots);
        let seen_by =
            |seq: Seq| state.recent.when(seq, now).max(if behind { began } else { Boot::NEVER }) + lag;
        let (hard, soft) = (seen_by(newest.0), seen_by(newest.1));
        let last = hard.max(soft);
        let event = if behind { newest.0.max(newest.1).max(token.seq) } else { newest.0.max(newest.1) };
        (began < last).then(|| Unseen { left: last.since(now), hard: began < hard, event })
    }

    /// For how much longer a replica that lags up to `lag` may not have seen the event, by this machine's own clock. An
    /// event that is no longer remembered is older than that.
    pub fn unseen_for(&self, shard: Shard, event: Seq, lag: Duration) -> Duration {
        let now = self.clock().now();
        if lag.is_zero() {
            Duration::ZERO
        } else {
            (self.shard(shard).recent.when(event, now) + lag).since(now)
        }
    }
}
