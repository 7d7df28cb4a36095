//! TLS to the server, and a user of few rights: instances need no more, and believe no certificate but the right one.

use coherd::backend::LinkState;
use coherd::backend::valkey::Settings as ValkeySettings;
use coherd::model::ShardCount;
use serde_json::json;

use crate::conformance::fixture::Settings;
use crate::conformance::valkey::valkey;
use crate::harness::certificates::Authority;
use crate::harness::encrypted::{Encrypted, PASSWORD, USER};
use crate::harness::instance::{Config, Instance, NAMESPACE};
use crate::harness::origin::Origin;
use crate::sentinel::{kept, state};

fn config(it: &Encrypted, id: &str, origin: &Origin) -> Config {
    Config::new(id, &it.url())
        .namespace(NAMESPACE, &origin.url())
        .set("backend.username", USER)
        .set("backend.password_env", "VALKEY_PASSWORD")
        .env("VALKEY_PASSWORD", PASSWORD)
        .set("backend.ca_file", it.authority.file().display().to_string())
}

#[tokio::test]
async fn instances_share_what_they_hold_over_tls_with_few_rights() {
    let it = Encrypted::start().await;
    let origin = Origin::start().await;
    let one = Instance::start(config(&it, "one", &origin).set("coherence.tracking", true)).await;
    let two = Instance::start(config(&it, "two", &origin)).await;
    origin.bump("k");
    let first = one.get(NAMESPACE, "k").send().await;
    assert_eq!(first.status, 200, "{first:?}");
    let second = two.get(NAMESPACE, "k").send().await;
    assert!(second.header("cache-status").is_some_and(|status| status.contains("detail=l2")), "{second:?}");
    let newer = origin.bump("k");
    let event = json!({ "namespace": NAMESPACE, "keys": ["k"] });
    assert_eq!(one.invalidate("?wait=all", &event).send().await.status, 200);
    assert_eq!(two.get(NAMESPACE, "k").send().await.json()["version"], newer);
    for instance in [&one, &two] {
        assert!(instance.is_sound().await, "{:?}", instance.readyz().await);
    }
    assert_eq!(it.server.command(&["ACL", "LOG"]).await.items(), [], "nothing was denied");
}

#[tokio::test]
async fn a_certificate_that_somebody_else_signed_is_refused() {
    let it = Encrypted::start().await;
    let settings = |authority: &Authority| ValkeySettings {
        username: Some(USER.to_owned()),
        password: Some(PASSWORD.to_owned()),
        ca_file: Some(authority.file()),
        ..valkey(&it.url(), ShardCount::ONE, Settings::default())
    };
    let (backend, _task) = kept(settings(&Authority::new()));
    state(
        &backend,
        |state| matches!(state, LinkState::Down(why) if why.contains("invalid peer certificate")),
    )
    .await;
    let (backend, _task) = kept(settings(&it.authority));
    state(&backend, |state| matches!(state, LinkState::Up { .. })).await;
}
