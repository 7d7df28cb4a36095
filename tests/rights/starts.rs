//! Without tokens no instance starts where others than this machine reach it.

use crate::harness::instance::{Config, Instance};
use crate::harness::ports::Port;
use crate::harness::wait::SOON;

fn alone() -> Config {
    Config::new("inst-0", "valkey://unused").without("backend.url").set("backend.kind", "memory")
}

#[tokio::test]
async fn an_address_that_others_reach_needs_tokens() {
    let (data, admin) = (Port::reserve(), Port::reserve());
    for address in ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "192.0.2.1", "[2001:db8::1]"] {
        for (key, port) in [("server.listen", &data), ("server.admin_listen", &admin)] {
            let listen = format!("{address}:{}", port.addr().port());
            let mut refused = Instance::launch(alone().set(key, listen));
            assert_eq!(refused.exit(SOON).await.code(), Some(2), "{address}: {}", refused.output());
            let said = refused.output();
            assert!(said.contains(key) && said.contains("there are no tokens"), "{address}: {said}");
        }
    }
}

#[tokio::test]
async fn with_tokens_it_starts_there() {
    let (data, admin) = (Port::reserve(), Port::reserve());
    let token: toml::Table =
        "name = 't'\ntoken_env = 'TEST_TOKEN'\nallow = ['read']".parse().expect("a table");
    let config = alone().env("TEST_TOKEN", "s3cret").set("auth.tokens", vec![toml::Value::Table(token)]);
    let at = |port: &Port| format!("0.0.0.0:{}", port.addr().port());
    let config = config.set("server.listen", at(&data)).set("server.admin_listen", at(&admin));
    let instance = Instance::launch(config);
    let client = crate::harness::http::Client::new();
    crate::harness::wait::eventually("it is ready", SOON, async || {
        let asked = client.get(&format!("http://{}/readyz", admin.addr())).try_send().await;
        asked.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert!(instance.output().contains("started"), "{}", instance.output());
}
