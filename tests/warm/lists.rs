//! `warm.keys` and `warm.keys_file`: loaded before an instance reports ready, and never in the way of that for long.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{from_l1, read};
use crate::harness::instance::{Config, Instance, NAMESPACE, coherd};
use crate::harness::origin::{Behaviour, Fault, Origin};
use crate::harness::ports::Port;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

/// What warming may take, and a slow machine's start.
const WARM_MAX: Duration = Duration::from_secs(50);

fn config(server: &Server, origin: &Origin, keys: &[&str]) -> Config {
    let keys: Vec<toml::Value> = keys.iter().map(|key| (*key).into()).collect();
    Config::new("inst-0", &server.url_at(server.addr()))
        .namespace(NAMESPACE, &origin.url())
        .set("namespaces.things.warm.keys", keys)
}

/// Launched, and not ready for the sake of warming alone.
async fn warming(config: Config) -> Instance {
    let instance = Instance::launch(config);
    eventually("it warms", SOON, async || {
        let answer = instance.request("GET", "/readyz").try_send().await.ok()?;
        (answer.status == 503 && answer.json()["reasons"] == json!(["warming"])).then_some(())
    })
    .await;
    instance
}

#[tokio::test]
async fn an_instance_is_not_ready_before_its_keys_are_loaded() {
    let (server, origin) = (Server::start().await, Origin::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys");
    fs::write(&file, "in file\r\n\nheld\n").expect("a file");
    for key in ["listed", "in file", "held"] {
        origin.set(key, 1);
    }
    let gate = origin.hold("held");
    let config = config(&server, &origin, &["listed", "held"])
        .set("namespaces.things.origin.timeout", "20s")
        .set("namespaces.things.warm.keys_file", file.to_str().expect("a path"));
    let mut instance = warming(config).await;
    gate.arrived(1).await;
    assert_eq!(read(&instance, "listed").await.0, 200, "whoever asks all the same is answered");
    gate.release();
    instance.ready().await;
    for key in ["listed", "in%20file", "held"] {
        assert_eq!(read(&instance, key).await, from_l1(1), "{key}");
    }
    assert_eq!(["listed", "in file", "held"].map(|key| origin.reads(key)), [1, 1, 1]);
}

#[tokio::test]
async fn an_origin_that_fails_keeps_nobody_from_being_ready() {
    let (server, origin) = (Server::start().await, Origin::start().await);
    origin.behave_always(Behaviour { fault: Some(Fault::Status(500)), ..Behaviour::default() });
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = keys.iter().map(String::as_str).collect();
    let instance = Instance::start(config(&server, &origin, &texts)).await;
    let line = instance.output();
    let line = line.lines().find(|line| line.contains("the keys of `warm` were loaded"));
    assert!(line.is_some_and(|line| line.contains(r#""failed":100"#)), "{line:?}");
}

#[tokio::test]
async fn an_origin_that_hangs_keeps_nobody_from_being_ready_for_long() {
    let (server, origin) = (Server::start().await, Origin::start().await);
    origin.behave("hangs", Behaviour { fault: Some(Fault::Hang), ..Behaviour::default() });
    origin.set("k", 1);
    let config = config(&server, &origin, &["hangs", "k"]).set("namespaces.things.origin.timeout", "10m");
    let instance = warming(config).await;
    eventually("it is ready all the same", WARM_MAX, async || instance.is_ready().await).await;
    let output = instance.output();
    let line = output.lines().find(|line| line.contains("not all of them in time"));
    assert!(line.is_some_and(|line| line.contains(r#""left":1"#)), "{output}");
    assert_eq!(read(&instance, "k").await, from_l1(1));
}

#[tokio::test]
async fn an_instance_that_warms_is_stopped_like_any_other() {
    let (server, origin) = (Server::start().await, Origin::start().await);
    origin.set("held", 1);
    let _gate = origin.hold("held");
    let config = config(&server, &origin, &["held"]).set("namespaces.things.origin.timeout", "10m");
    let mut instance = warming(config).await;
    instance.terminate();
    assert_eq!(instance.exit(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn without_the_log_nothing_is_warmed_for_nothing_would_be_kept() {
    let origin = Origin::start().await;
    let port = Port::reserve();
    let config = Config::new("early", &format!("valkey://{}/0", port.addr()))
        .namespace(NAMESPACE, &origin.url())
        .set("coherence.start_detached_after", "300ms")
        .set("namespaces.things.warm.keys", vec![toml::Value::from("k")]);
    let started = Instant::now();
    let _instance = Instance::start(config).await;
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_named_with_its_key_and_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys");
    fs::write(&file, format!("a\n{}\n", "k".repeat(600))).expect("a file");
    let missing = folder.path().join("missing");
    for (path, fault) in [(&missing, "No such file"), (&file, "line 2: a key has 1 to 512 bytes")] {
        let path = path.to_str().expect("a path");
        let set = format!("namespaces.things.warm.keys_file={path}");
        let output = coherd()
            .args(["check", "--set", "namespaces.things.origin.kind=none", "--set", &set])
            .output()
            .await
            .expect("coherd starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            ["namespaces.things.warm.keys_file", path, fault].iter().all(|it| said.contains(it)),
            "{said}"
        );
    }
}
