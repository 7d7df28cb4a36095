//! Streams of other systems: on a server of their own perhaps, and read by a consumer group.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::BackendError;

/// An entry of one of the streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// Which stream.
    pub stream: Arc<str>,
    /// The stream's id.
    pub id: String,
    /// Fields as they came, in order, repeated names kept.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// Streams and the group that reads them. Each entry is handed to one consumer, which finishes it; what a consumer did not
/// finish another may adopt. A stream that is not there is made, and read from its beginning.
#[async_trait]
pub trait Streams: Send + Sync {
    /// Entries that nobody has taken yet; waits a while for the first, a second at the most.
    async fn read(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, BackendError>;

    /// Entries that somebody took so long ago and did not finish, `max` of each stream.
    async fn adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<StreamEntry>, BackendError>;

    /// Finishes entries.
    async fn done(&self, entries: &[StreamEntry]) -> Result<(), BackendError>;

    /// Withdraws a consumer that has finished all it took. What it did not finish would be lost.
    async fn leave(&self, consumer: &str) -> Result<(), BackendError>;
}
