//! What every operation needs beside a connection.

mod fences;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Settings;
use super::connection::Arg;
use super::keys::Keyspace;
use crate::clock::Clock;
use crate::model::{Seq, Shard};
use fences::Fences;

/// Names, limits, and the highest numbers seen.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Context {
    /// How keys are called.
    pub(super) keys: Keyspace,
    /// The highest number seen of each shard: a new lineage starts above it.
    seen: Vec<AtomicU64>,
    /// Of the fences of locks.
    pub(super) fences: Fences,
    clock: Clock,
    /// The way leads to a Valkey Cluster, where a shard may move to another server and back: scripts look for themselves
    /// whether they are on the one that the lineage was begun on.
    pub(super) clustered: bool,
    /// About how many events a log keeps.
    pub(super) log_max_events: u64,
    /// How many names a generation of watermarks holds.
    pub(super) watermarks_max: u64,
    /// Replicas that must have an event.
    pub(super) min_replicas_ack: u32,
    /// What is held on another server is kept if nothing is lost.
    pub(super) verify: bool,
    /// Changes of entries are followed.
    pub(super) tracking: bool,
    /// How long an answer may take.
    pub(super) command_timeout: Duration,
    /// Some namespace writes behind: what the server forgets is lost.
    pub(super) keeps_writes: bool,
    /// Some namespace takes writes, which may ask for what keeps them.
    pub(super) takes_writes: bool,
}

impl Context {
    /// For a way to the server that is clustered or is not.
    pub(super) fn new(settings: &Settings, clustered: bool) -> Self {
        Self {
            keys: Keyspace::new(&settings.cluster, settings.shards, clustered),
            seen: settings.shards.all().map(|_| AtomicU64::new(0)).collect(),
            fences: Fences::new(settings.shards.all().count()),
            clock: Clock::Boottime,
            clustered,
            log_max_events: settings.log_max_events.max(1),
            watermarks_max: settings.watermarks_max.max(1),
            min_replicas_ack: settings.min_replicas_ack,
            verify: settings.verify,
            tracking: settings.tracking,
            command_timeout: settings.command_timeout,
            keeps_writes: settings.keeps_writes,
            takes_writes: settings.takes_writes,
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

    /// Microseconds of the boot clock.
    pub(super) fn micros(&self) -> u64 {
        self.clock.now().as_nanos() / 1000
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
