//! What every operation needs beside a connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Settings;
use super::connection::Arg;
use super::keys::Keyspace;
use crate::backend::Fence;
use crate::clock::Clock;
use crate::model::{Seq, Shard};

/// Names, limits, and the highest numbers seen.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Context {
    /// How keys are called.
    pub(super) keys: Keyspace,
    /// The highest number seen of each shard: a new lineage starts above it.
    seen: Vec<AtomicU64>,
    /// The highest fence seen: the next one given out is above it, whatever the server remembers.
    fence: AtomicU64,
    /// How far a server's clock was ahead of this machine's boot clock at the most, in microseconds.
    ahead: AtomicU64,
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
            fence: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
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

    /// By how much two clocks come apart, in microseconds: those of two machines in the time that one hears nothing of
    /// the other, and a fence from the clock, where many are given out at once.
    const CLOCKS_APART: u64 = 1_000_000;

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

    /// A fence that the server gave out.
    pub(super) fn fence_seen(&self, fence: Fence) {
        self.fence.fetch_max(fence.min(Self::KNOWN_MAX), Ordering::Relaxed);
    }

    /// The highest fence known.
    pub(super) fn fence_known(&self) -> Fence {
        self.fence.load(Ordering::Relaxed)
    }

    /// Microseconds of the boot clock, to be taken before a server is asked for its time.
    pub(super) fn micros(&self) -> u64 {
        self.clock.now().as_nanos() / 1000
    }

    /// A server's clock, as it was after `sent`.
    pub(super) fn clock_seen(&self, sent: u64, server_us: u64) {
        let server = server_us.min(Self::KNOWN_MAX);
        self.ahead.fetch_max(server.saturating_sub(sent), Ordering::Relaxed);
    }

    /// Above every fence that was given out by the clock of a server this instance has heard of, by whatever instance;
    /// 0 before it has heard of one.
    pub(super) fn fence_bound(&self) -> Fence {
        match self.ahead.load(Ordering::Relaxed) {
            0 => 0,
            ahead => ahead.saturating_add(self.micros() + Self::CLOCKS_APART).min(Self::KNOWN_MAX),
        }
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
