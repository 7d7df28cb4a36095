//! The Valkey backend, on a server of each case's own: with one shard, and with several.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coherd::backend::valkey::{Settings as ValkeySettings, Valkey};
use coherd::backend::{Backend, LinkState};
use coherd::model::{Shard, ShardCount};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fixture::{Fixture, Settings};
use super::kit::{SHARDS, SOON};
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

    async fn over(settings: Settings, shards: ShardCount) -> Self {
        let server = Server::start().await;
        let url = server.url_at(server.addr());
        let (instances, stop) = two_at(&url, shards, settings).await;
        Self { instances, server, _stop: stop }
    }
}

/// Two instances over that many shards, connected until the guard is dropped.
pub(super) async fn two_at(
    url: &str,
    shards: ShardCount,
    settings: Settings,
) -> ([Arc<Valkey>; 2], DropGuard) {
    connect(&valkey(url, shards, settings)).await
}

#[async_trait(?Send)]
impl Fixture for Connected {
    async fn start(settings: Settings) -> Self {
        Self::over(settings, ShardCount::ONE).await
    }

    fn instances(&self) -> [Arc<dyn Backend>; 2] {
        self.instances.clone().map(|instance| instance as Arc<dyn Backend>)
    }

    async fn flush_all(&self) {
        self.server.command(&["FLUSHALL"]).await;
    }

    async fn end_lineage(&self) {
        for ctl in controls(self.instances[0].shards()) {
            self.server.command(&["DEL", &ctl]).await;
        }
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

/// The control record of every shard.
pub(super) fn controls(shards: ShardCount) -> impl Iterator<Item = String> {
    shards.all().map(|Shard(number)| match number {
        0 => "coherd:{main}:ctl".to_owned(),
        other => format!("coherd:{{main.{other}}}:ctl"),
    })
}

/// The same over several shards.
pub(crate) struct Sharded(Connected);

#[async_trait(?Send)]
impl Fixture for Sharded {
    async fn start(settings: Settings) -> Self {
        Self(Connected::over(settings, ShardCount::new(SHARDS)).await)
    }

    fn instances(&self) -> [Arc<dyn Backend>; 2] {
        self.0.instances()
    }

    async fn flush_all(&self) {
        self.0.flush_all().await;
    }

    async fn end_lineage(&self) {
        self.0.end_lineage().await;
    }

    async fn inbox_add(&self, fields: &[(&str, &str)]) {
        self.0.inbox_add(fields).await;
    }

    async fn inbox_publish(&self, message: &str) {
        self.0.inbox_publish(message).await;
    }
}

/// Two instances, connected until the guard is dropped.
#[expect(clippy::disallowed_methods, reason = "the test's own runtime ends with it")]
pub(super) async fn connect(settings: &ValkeySettings) -> ([Arc<Valkey>; 2], DropGuard) {
    let instances = [(); 2].map(|()| Valkey::new(settings.clone()).unwrap());
    let stop = CancellationToken::new();
    for instance in &instances {
        let (keeper, stop) = (Arc::clone(instance), stop.clone());
        tokio::spawn(async move { keeper.keep_connected(stop).await });
        let mut link = instance.link();
        let up = link.wait_for(|state| matches!(state, LinkState::Up { .. }));
        timeout(SOON, up).await.expect("the backend connects").unwrap();
    }
    (instances, stop.drop_guard())
}

/// What a case asks for, of the server at `url`.
pub(crate) fn valkey(url: &str, shards: ShardCount, settings: Settings) -> ValkeySettings {
    let Settings { log_max_events, watermarks_max } = settings;
    ValkeySettings {
        url: url.to_owned(),
        reader_url: None,
        username: None,
        password: None,
        ca_file: None,
        pool: 2,
        connect_timeout: Duration::from_secs(5),
        command_timeout: Duration::from_secs(5),
        cluster: "main".to_owned(),
        shards,
        log_max_events: log_max_events as u64,
        watermarks_max: watermarks_max as u64,
        min_replicas_ack: 0,
        verify: false,
        tracking: false,
        keeps_writes: false,
        takes_writes: false,
    }
}
