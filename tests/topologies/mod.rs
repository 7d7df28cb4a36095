//! What instances share may be spread: over shards on one server, and over the servers of a Valkey Cluster. All that is
//! promised of one shard on one server is promised there too.

mod counts;
mod faults;
mod fleet;
mod replicas;
mod shown;
mod spread;
