//! What the backend is told: where the server is and how it is used.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::ShardCount;

/// Where the server is and how it is used.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
#[derive(Clone)]
pub struct Settings {
    /// `valkey://…`, `valkeys://…`, `valkey-cluster://…`, `valkey-sentinel://…`, or with `redis`.
    pub url: String,
    /// Replicas for reads of entries.
    pub reader_url: Option<String>,
    /// Instead of the URL's user.
    pub username: Option<String>,
    /// Instead of the URL's password.
    pub password: Option<String>,
    /// Root certificates instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// Connections for data; at least one is made.
    pub pool: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub command_timeout: Duration,
    /// The cluster's name: part of every key.
    pub cluster: String,
    /// How many shards its keys are spread over.
    pub shards: ShardCount,
    /// About how many events a shard's log keeps.
    pub log_max_events: u64,
    /// How many names each of a shard's two generations of watermarks holds.
    pub watermarks_max: u64,
    /// Replicas that must have an event before it counts as published.
    pub min_replicas_ack: u32,
    /// What is held on another server is kept if nothing is lost.
    pub verify: bool,
    /// The server tells of changes of entries, whoever makes them.
    pub tracking: bool,
    /// Some namespace writes behind: a server that keeps nothing on disk is worth a warning.
    pub keeps_writes: bool,
    /// Some namespace takes writes, which may have to wait for what keeps them.
    pub takes_writes: bool,
}

impl fmt::Debug for Settings {
    /// Without what may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cluster", &self.cluster)
            .field("shards", &self.shards)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
