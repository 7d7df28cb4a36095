//! What every operation needs beside a connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Settings;
use super::connection::Arg;
use super::keys::Keyspace;
use crate::model::{Seq, Shard};

/// Names, limits, and the highest numbers seen.
pub(super) struct Context {
    /// How keys are called.
    pub(super) keys: Keyspace,
    /// The highest number seen of each shard: a new lineage starts above it.
    seen: Vec<AtomicU64>,
    /// On Valkey Cluster fred follows a moved slot to a server that no handshake has seen: scripts look for themselves.
    pub(super) check_identity: bool,
    /// About how many events a log keeps.
    pub(super) log_max_events: u64,
    /// How many names a generation of watermarks holds.
    pub(super) watermarks_max: u64,
    /// Replicas that must have an event.
    pub(super) min_replicas_ack: u32,
    /// How long an answer may take.
    pub(super) command_timeout: Duration,
}

impl Context {
    /// For a way to the server that is clustered or is not.
    pub(super) fn new(settings: &Settings, clustered: bool) -> Self {
        Self {
            keys: Keyspace::new(&settings.cluster, settings.shards),
            seen: settings.shards.all().map(|_| AtomicU64::new(0)).collect(),
            check_identity: clustered,
            log_max_events: settings.log_max_events.max(1),
            watermarks_max: settings.watermarks_max.max(1),
            min_replicas_ack: settings.min_replicas_ack,
            command_timeout: settings.command_timeout,
        }
    }

    /// Far below where a double stops counting, far above what any clock gives.
    const KNOWN_MAX: Seq = 1 << 52;

    /// A number that the server or a caller knows of.
    pub(super) fn seen(&self, shard: Shard, seq: Seq) {
        if let Some(seen) = self.seen.get(usize::from(shard.0)) {
            seen.fetch_max(seq.min(Self::KNOWN_MAX), Ordering::Relaxed);
        }
    }

    /// The highest number known.
    pub(super) fn known(&self, shard: Shard) -> Seq {
        self.seen.get(usize::from(shard.0)).map_or(0, |seen| seen.load(Ordering::Relaxed))
    }

    /// Where the servers are that every connection leads to: on Valkey Cluster each shard may have its own.
    pub(super) fn slots(&self) -> Vec<u16> {
        let mut slots: Vec<u16> = self.keys.count().all().map(|shard| self.keys.shard(shard).slot).collect();
        if !self.check_identity {
            slots.truncate(1);
        }
        slots
    }

    /// What scripts keep of the configuration.
    pub(super) fn settings_args(&self) -> [Arg; 3] {
        [
            Arg::from(self.log_max_events),
            Arg::from(self.watermarks_max),
            Arg::from(u64::from(self.keys.count().get())),
        ]
    }
}
