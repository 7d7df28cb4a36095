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
        let (hard, soft) = state.view.newest(slots);
        let seen_by =
            |seq: Seq| state.recent.when(seq, now).max(if behind { began } else { Boot::NEVER }) + lag;
        let unseen = last_unseen(began, now, (hard, seen_by(hard)), (soft, seen_by(soft)))?;
        Some(if behind { Unseen { event: token.seq.max(unseen.event), ..unseen } } else { unseen })
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

/// Which of two events, each with the time from which on every replica has seen it, a load from `began` on may not have
/// seen. What was before a hard one goes with that one's time, whatever soft ones came later.
fn last_unseen(began: Boot, now: Boot, hard: (Seq, Boot), soft: (Seq, Boot)) -> Option<Unseen> {
    let is_hard = began < hard.1;
    let (event, seen_by) = if is_hard { hard } else { soft };
    (began < seen_by).then(|| Unseen { left: seen_by.since(now), hard: is_hard, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_event_prolongs_nothing_that_a_hard_one_ends() {
        let at = |ms: u64| Boot::NEVER + Duration::from_millis(ms);
        let of = |began, hard, soft| last_unseen(at(began), at(1000), (7, at(hard)), (8, at(soft)));
        let left = |ms, hard, event| Some(Unseen { left: Duration::from_millis(ms), hard, event });
        assert_eq!(of(950, 1050, 1900), left(50, true, 7));
        assert_eq!(of(950, 1900, 1050), left(900, true, 7));
        assert_eq!(of(950, 900, 1900), left(900, false, 8));
        assert_eq!(of(950, 980, 900), left(0, true, 7), "seen by now, and not when it began");
        assert_eq!(of(950, 900, 940), None);
    }
}
