//! The Valkey backend, on a server of each case's own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coherd::backend::valkey::{Settings as ValkeySettings, Valkey};
use coherd::backend::{Backend, LinkState};
use coherd::model::ShardCount;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fixture::{Fixture, Settings};
use super::kit::SOON;
use crate::harness::server::Server;

/// Two instances that are connected to one server.
pub(crate) struct Connected {
    instances: [Arc<Valkey>; 2],
    server: Server,
    _stop: DropGuard,
}

impl Connected {
    /// The server.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }
}

#[async_trait(?Send)]
impl Fixture for Connected {
    #[expect(clippy::disallowed_methods, reason = "the test's own runtime ends with it")]
    async fn start(settings: Settings) -> Self {
        let server = Server::start().await;
        let instances = [(); 2].map(|()| Valkey::new(valkey(&server, settings)).unwrap());
        let stop = CancellationToken::new();
        for instance in &instances {
            let (keeper, stop) = (Arc::clone(instance), stop.clone());
            tokio::spawn(async move { keeper.keep_connected(stop).await });
            let mut link = instance.link();
            let up = link.wait_for(|state| matches!(state, LinkState::Up { .. }));
            timeout(SOON, up).await.expect("the backend connects").unwrap();
        }
        Self { instances, server, _stop: stop.drop_guard() }
    }

    fn instances(&self) -> [Arc<dyn Backend>; 2] {
        self.instances.clone().map(|instance| instance as Arc<dyn Backend>)
    }

    async fn flush_all(&self) {
        self.server.command(&["FLUSHALL"]).await;
    }

    async fn end_lineage(&self) {
        self.server.command(&["DEL", "coherd:{main}:ctl"]).await;
    }

    async fn inbox_add(&self, fields: &[(&str, &str)]) {
        let fields = fields.iter().flat_map(|(name, value)| [*name, *value]);
        let words: Vec<&str> = ["XADD", "coherd:{main}:inbox", "*"].into_iter().chain(fields).collect();
        self.server.command(&words).await;
    }

    async fn inbox_publish(&self, message: &str) {
        self.server.command(&["PUBLISH", "coherd:{main}:inbox", message]).await;
    }
}

fn valkey(server: &Server, settings: Settings) -> ValkeySettings {
    let Settings { log_max_events, watermarks_max } = settings;
    ValkeySettings {
        url: server.url_at(server.addr()),
        reader_url: None,
        username: None,
        password: None,
        ca_file: None,
        pool: 2,
        connect_timeout: Duration::from_secs(5),
        command_timeout: Duration::from_secs(5),
        cluster: "main".to_owned(),
        shards: ShardCount::ONE,
        log_max_events: log_max_events as u64,
        watermarks_max: watermarks_max as u64,
        min_replicas_ack: 0,
        keeps_writes: false,
        takes_writes: false,
    }
}
