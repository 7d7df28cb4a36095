//! The Valkey backend on a cluster of six servers. The cases of a room share one: it takes its time to come about.

use std::sync::Arc;

use async_trait::async_trait;
use coherd::backend::Backend;
use coherd::backend::valkey::Valkey;
use coherd::model::ShardCount;
use tokio_util::sync::DropGuard;

use super::fixture::{Fixture, Settings};
use super::kit::SHARDS;
use super::valkey::{controls, two_at};
use crate::harness::ring::Ring;

tokio::task_local! {
    /// The servers of the cases that run.
    pub(crate) static RING: Arc<Ring>;
}

/// Two instances that are connected to the cluster, which was emptied for them.
pub(crate) struct Clustered {
    instances: [Arc<Valkey>; 2],
    ring: Arc<Ring>,
    _stop: DropGuard,
}

#[async_trait(?Send)]
impl Fixture for Clustered {
    async fn start(settings: Settings) -> Self {
        let ring = RING.get();
        ring.flush_all().await;
        let (instances, stop) = two_at(&ring.url(), ShardCount::new(SHARDS), settings).await;
        Self { instances, ring, _stop: stop }
    }

    fn instances(&self) -> [Arc<dyn Backend>; 2] {
        self.instances.clone().map(|instance| instance as Arc<dyn Backend>)
    }

    async fn flush_all(&self) {
        self.ring.flush_all().await;
    }

    async fn end_lineage(&self) {
        for ctl in controls(self.instances[0].shards()) {
            self.ring.command(&ctl, &["DEL", &ctl]).await;
        }
    }

    async fn inbox_add(&self, fields: &[(&str, &str)]) {
        let fields = fields.iter().flat_map(|(name, value)| [*name, *value]);
        let words: Vec<&str> = ["XADD", "coherd:{main}:inbox", "*"].into_iter().chain(fields).collect();
        self.ring.command(words[1], &words).await;
    }

    async fn inbox_publish(&self, message: &str) {
        self.ring.command("coherd:{main}:inbox", &["PUBLISH", "coherd:{main}:inbox", message]).await;
    }
}
