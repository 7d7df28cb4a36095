//! `[coherence]`: the protocol's bounds.

use std::time::Duration;

use super::declare::section;
use super::kind::{choice, duration, flag, int};

section! { at =>
    /// `[coherence]`
    pub struct Coherence {
        /// How long an instance may trust its copies without proof that it has seen the log. A namespace may set its own.
        max_staleness: Duration = at.or("2s", max_staleness());
        /// What a Valkey that is not the one it was does to copies made before.
        on_failover: OnFailover = at.or("flush", choice(&[
            ("flush", OnFailover::Flush), ("verify", OnFailover::Verify),
        ]));
        /// So many replicas must have an invalidation before it is acknowledged.
        min_replicas_ack: u8 = at.or(0, int(0..=16));
        /// How far back an instance that was cut off can catch up.
        log_max_events: u64 = at.or(200_000, int(1..=100_000_000));
        /// Names remembered per generation and shard.
        watermarks_max: u64 = at.or(500_000, int(1..=100_000_000));
        /// An instance that finds no Valkey at its start reports ready, degraded, after this.
        start_detached_after: Duration = at.or("10s", duration("0s", "1h"));
        /// Also follow foreign writes to L2 entries.
        tracking: bool = at.or(false, flag());
    }
}

/// What a Valkey that is not the one it was does to copies made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailover {
    /// They are dropped.
    Flush,
    /// They are checked one by one.
    Verify,
}

/// Below 100 ms the heartbeats cost more than they prove; above an hour the bound means nothing.
pub(super) fn max_staleness() -> super::kind::Kind<Duration> {
    duration("100ms", "1h")
}
