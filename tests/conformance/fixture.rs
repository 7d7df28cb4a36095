//! What a backend brings to be tested: a store of its own, and the things that other systems do to it.

use std::sync::Arc;

use async_trait::async_trait;
use coherd::backend::Backend;

/// The settings that a case may want small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `backend.log_max_events`.
    pub(crate) log_max_events: usize,
    /// `backend.watermarks_max`.
    pub(crate) watermarks_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { log_max_events: 200_000, watermarks_max: 500_000 }
    }
}

/// A store that nobody else uses, and two instances of it.
#[async_trait(?Send)]
pub(crate) trait Fixture: Sized {
    /// An empty store. `keep_connected` runs for both instances until the fixture is dropped, and both are connected.
    async fn start(settings: Settings) -> Self;

    /// The two instances.
    fn instances(&self) -> [Arc<dyn Backend>; 2];

    /// FLUSHALL.
    async fn flush_all(&self);

    /// Ends the lineage, and leaves entries and leases: `ctl` is deleted, of every shard.
    async fn end_lineage(&self);

    /// Appends to the inbox stream.
    async fn inbox_add(&self, fields: &[(&str, &str)]);

    /// Publishes on the inbox channel.
    async fn inbox_publish(&self, message: &str);
}
