//! The memory backend, on the machine's clock.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use coherd::backend::Backend;
use coherd::backend::memory::{Limits, Memory, Store};
use coherd::clock::Clock;
use coherd::model::ShardCount;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fixture::{Fixture, Settings};

/// Two instances that joined one store.
pub(crate) struct Joined {
    store: Arc<Store>,
    instances: [Arc<Memory>; 2],
    _stop: DropGuard,
}

#[async_trait(?Send)]
impl Fixture for Joined {
    #[expect(clippy::disallowed_methods, reason = "the test's own runtime ends with it")]
    async fn start(settings: Settings) -> Self {
        let Settings { log_max_events, watermarks_max } = settings;
        let limits = Limits { log_max_events, watermarks_max, ..Limits::default() };
        let store = Store::new(ShardCount::ONE, limits, Clock::Boottime, 1_763_715_600_000);
        let instances = [Arc::new(Memory::join(&store)), Arc::new(Memory::join(&store))];
        let stop = CancellationToken::new();
        for instance in &instances {
            let (instance, stop) = (Arc::clone(instance), stop.clone());
            tokio::spawn(async move { instance.keep_connected(stop).await });
        }
        Self { store, instances, _stop: stop.drop_guard() }
    }

    fn instances(&self) -> [Arc<dyn Backend>; 2] {
        self.instances.clone().map(|instance| instance as Arc<dyn Backend>)
    }

    async fn flush_all(&self) {
        self.store.flush_all();
    }

    async fn end_lineage(&self) {
        self.store.end_lineages();
    }

    async fn inbox_add(&self, fields: &[(&str, &str)]) {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        self.store
            .inbox_add(fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect())
            .unwrap();
    }

    async fn inbox_publish(&self, message: &str) {
        self.store.inbox_publish(Bytes::copy_from_slice(message.as_bytes()));
    }
}
