//! Servers that take long to start: the cases of a room share them, one after the other, each on an empty store.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coherd::backend::Backend;
use coherd::backend::valkey::{Settings as ValkeySettings, Valkey};
use coherd::model::ShardCount;
use tokio_util::sync::DropGuard;

use super::fixture::{Fixture, Settings};
use super::valkey::{connect, valkey};
use crate::harness::encrypted::{Encrypted, PASSWORD, USER};
use crate::harness::sentinel::Watched;
use crate::harness::server::{Options, Server};

/// What the cases stand on.
pub(crate) struct Ground {
    /// The server that holds the data.
    pub(crate) server: Server,
    /// How instances find it.
    pub(crate) settings: ValkeySettings,
    /// What else has to be there, for as long as it is.
    pub(crate) _beside: Box<dyn Any>,
}

tokio::task_local! {
    static GROUND: Rc<Ground>;
}

/// Runs cases of [`Shared`] on that ground.
pub(crate) async fn on(ground: Ground, cases: impl Future<Output = ()>) {
    let ground = Rc::new(ground);
    GROUND.scope(Rc::clone(&ground), cases).await;
    // What an instance may not do shows up nowhere else where it can do without.
    assert_eq!(ground.server.command(&["ACL", "LOG"]).await.items(), [], "nothing was denied");
}

/// A server that speaks TLS, and a user with no more rights than README says.
pub(crate) async fn over_tls() -> Ground {
    let it = Encrypted::start().await;
    let settings = ValkeySettings {
        username: Some(USER.to_owned()),
        password: Some(PASSWORD.to_owned()),
        ca_file: Some(it.authority.file()),
        ..valkey(&it.url(), ShardCount::ONE, Settings::default())
    };
    Ground { server: it.server, settings, _beside: Box::new((it.authority, it.port)) }
}

/// The primary that sentinels name.
pub(crate) async fn by_sentinels() -> Ground {
    let mut watched = Watched::start(Options::default(), Duration::from_secs(5)).await;
    let settings = valkey(&watched.url(), ShardCount::ONE, Settings::default());
    let primary = watched.primary_but(None).await;
    Ground { server: watched.take(primary), settings, _beside: Box::new(watched) }
}

/// Two instances on the ground of the room.
pub(crate) struct Shared {
    instances: [Arc<Valkey>; 2],
    ground: Rc<Ground>,
    _stop: DropGuard,
}

#[async_trait(?Send)]
impl Fixture for Shared {
    async fn start(settings: Settings) -> Self {
        let ground = GROUND.get();
        ground.server.command(&["FLUSHALL"]).await;
        let Settings { log_max_events, watermarks_max } = settings;
        let settings = ValkeySettings {
            log_max_events: log_max_events as u64,
            watermarks_max: watermarks_max as u64,
            ..ground.settings.clone()
        };
        let (instances, _stop) = connect(&settings).await;
        Self { instances, ground, _stop }
    }

    fn instances(&self) -> [Arc<dyn Backend>; 2] {
        self.instances.clone().map(|instance| instance as Arc<dyn Backend>)
    }

    async fn flush_all(&self) {
        self.ground.server.command(&["FLUSHALL"]).await;
    }

    async fn end_lineage(&self) {
        self.ground.server.command(&["DEL", "coherd:{main}:ctl"]).await;
    }

    async fn inbox_add(&self, fields: &[(&str, &str)]) {
        let fields = fields.iter().flat_map(|(name, value)| [*name, *value]);
        let words: Vec<&str> = ["XADD", "coherd:{main}:inbox", "*"].into_iter().chain(fields).collect();
        self.ground.server.command(&words).await;
    }

    async fn inbox_publish(&self, message: &str) {
        self.ground.server.command(&["PUBLISH", "coherd:{main}:inbox", message]).await;
    }
}
