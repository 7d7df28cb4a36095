//! Messages of any size on the inbox channel.

use tokio::time::timeout;

use super::{assert_grown_less, resident};
use crate::harness::instance::{Config, Instance};
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

const INBOX: &str = "coherd:{main}:inbox";

#[tokio::test]
async fn messages_that_are_too_large_are_dropped_and_hold_up_none_that_is_not() {
    let server = Server::start().await;
    let config = Config::new("inst-0", &server.url_at(server.addr())).set("log.level", "info");
    let instance = Instance::start(config.set("namespaces.aside.origin.kind", "none")).await;
    let before = resident(&instance);
    let large = "x".repeat(4 << 20);
    for _ in 0..60 {
        let said = timeout(SOON, server.command(&["PUBLISH", INBOX, &large])).await;
        said.expect("the server takes it");
    }
    let event = r#"{"namespace": "aside", "keys": ["k"], "source": "last"}"#;
    eventually("what is small is heard", SOON, async || {
        server.command(&["PUBLISH", INBOX, event]).await;
        instance.output().contains(r#""audit.source":"last""#)
    })
    .await;
    let dropped = async |reason| {
        let series = format!("coherd_events_rejected_total{{reason=\"{reason}\"}}");
        instance.metric(&series).await.unwrap_or_default()
    };
    assert!(0.0 < dropped("too_large").await + dropped("overloaded").await);
    assert_grown_less(&instance, before, 160);
    assert!(instance.is_sound().await);
}
