//! How `coherd serve` starts: what stops it, with which exit code and words, and what it does without Valkey.

use std::net::TcpListener;

use tokio::time::timeout;

use crate::harness::instance::{Config, Instance, NAMESPACE, coherd};
use crate::harness::origin::Origin;
use crate::harness::ports::Port;
use crate::harness::proxy::Proxy;
use crate::harness::server::{Options, Server};
use crate::harness::wait::{SOON, eventually};

/// A URL where no server is; the port stays free for as long as it is held.
fn nowhere() -> (Port, String) {
    let port = Port::reserve();
    let url = format!("valkey://{}/0", port.addr());
    (port, url)
}

/// Ends with `code`, and says why.
async fn ends(config: Config, args: &[&str], code: i32) -> String {
    let mut instance = Instance::launch_with(config, args);
    let ended = instance.exit(SOON).await;
    assert_eq!(ended.code(), Some(code), "{}", instance.output());
    instance.output()
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_start_with_two_and_names_every_fault() {
    let (_port, url) = nowhere();
    let config = Config::new("wrong", &url)
        .set("coherence.max_stalenes", "1s")
        .set("backend.pool", "many")
        .set("server.max_body", "1TiB")
        .namespace(NAMESPACE, "http://127.0.0.1:1/{keys}")
        .set("namespaces.other.origin.kind", "http");
    let output = ends(config, &[], 2).await;
    let faulty = [
        "coherence.max_stalenes",
        "backend.pool",
        "server.max_body",
        "namespaces.things.origin.url",
        "namespaces.other.origin.url",
    ];
    for key in faulty {
        let line = output
            .lines()
            .find(|line| line.contains(&format!("{key} ")))
            .unwrap_or_else(|| panic!("{key}: {output}"));
        assert!(line.contains("accepted: "), "{line}");
    }
}

#[tokio::test]
async fn a_listener_that_others_can_reach_needs_tokens() {
    let (_port, url) = nowhere();
    let port = Port::reserve();
    let config = Config::new("open", &url).set("server.listen", format!("0.0.0.0:{}", port.number()));
    let output = ends(config, &[], 2).await;
    assert!(output.contains("server.listen") && output.contains("auth.tokens"), "{output}");
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_start_with_one_and_is_named() {
    let (_port, url) = nowhere();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for key in ["server.listen", "server.admin_listen"] {
        let output = ends(Config::new("late", &url).set(key, addr.as_str()), &[], 1).await;
        assert!(output.contains(key) && output.contains(&addr), "{output}");
    }
}

#[tokio::test]
async fn a_backend_that_is_required_and_not_there_ends_the_start_with_three() {
    let (_port, url) = nowhere();
    let config = Config::new("alone", &url).set("backend.connect_timeout", "100ms");
    let output = ends(config, &["--require-backend"], 3).await;
    assert!(output.contains("backend"), "{output}");
}

#[tokio::test]
async fn a_server_that_must_not_be_used_ends_the_start_with_three_and_what_mends_it() {
    let primary = Server::start().await;
    let replica = Server::with(Options::default().replica_of(primary.addr())).await;
    let evicting =
        Server::with(Options::default().set("maxmemory", "64mb").set("maxmemory-policy", "allkeys-lru"))
            .await;
    let mends = [
        (&replica, primary.addr().to_string(), "REPLICAOF NO ONE"),
        (&evicting, "allkeys-lru".to_owned(), "CONFIG SET maxmemory-policy volatile-lru"),
    ];
    for (server, reason, command) in mends {
        let output = ends(Config::new("refused", &server.url_at(server.addr())), &[], 3).await;
        assert!(output.contains(&reason) && output.contains(command), "{output}");
    }
}

#[tokio::test]
async fn an_instance_that_finds_no_valkey_answers_from_the_origin_and_attaches_once_it_is_there() {
    let (server, origin) = (Server::start().await, Origin::start().await);
    let wire = Proxy::start(server.addr()).await;
    wire.cut().await;
    origin.set("k", 1);
    let config = Config::new("early", &server.url_at(wire.addr()))
        .namespace(NAMESPACE, &origin.url())
        .set("coherence.start_detached_after", "500ms");
    let instance = Instance::start(config).await;
    assert!(instance.readyz().await.1["degraded"].to_string().contains("detached"));
    for loads in 1..=2 {
        let answer = instance.get(NAMESPACE, "k").send().await;
        assert_eq!(
            (answer.status, answer.header("cache-status")),
            (200, Some("coherd; fwd=bypass; detail=detached"))
        );
        assert_eq!(origin.reads("k"), loads, "nothing is kept without a token");
    }

    wire.restore().await;
    eventually("it attaches", SOON, async || instance.is_sound().await).await;
    for (status, loads) in [("detail=origin", 3), ("detail=l1", 3)] {
        let answer = instance.get(NAMESPACE, "k").send().await;
        assert!(answer.header("cache-status").is_some_and(|it| it.contains(status)), "{status}: {answer:?}");
        assert_eq!(origin.reads("k"), loads);
    }
}

#[tokio::test]
async fn an_instance_is_not_ready_before_it_follows_the_log_or_has_waited_for_it() {
    let (_port, url) = nowhere();
    let instance = Instance::launch(Config::new("early", &url).set("coherence.start_detached_after", "1h"));
    let refused =
        eventually("it answers", SOON, async || instance.request("GET", "/readyz").try_send().await.ok());
    let refused = refused.await;
    assert_eq!((refused.status, refused.json()["reasons"].to_string()), (503, r#"["starting"]"#.to_owned()));
}

/// What `coherd check` prints for a configuration.
async fn checked(config: Config, variables: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let file = dir.path().join("secret.toml");
    let (data, admin) = (Port::reserve(), Port::reserve());
    std::fs::write(&file, config.file(data.addr(), admin.addr())).expect("a configuration can be written");
    let mut command = coherd();
    command.arg("check").arg("-c").arg(&file).args(["--set", "coherence.max_staleness=3s"]);
    command.envs(variables.iter().copied()).kill_on_drop(true);
    let output = timeout(SOON, command.output()).await.expect("it ends in time").expect("coherd starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    format!("{out}{err}")
}

#[tokio::test]
async fn a_check_prints_what_is_in_effect_and_where_it_came_from_and_no_secret() {
    let config = |url| {
        Config::new("quiet", url)
            .namespace(NAMESPACE, "http://user:hunter2@127.0.0.1:1/{key}?sig=hunter2")
            .set("namespaces.things.origin.headers.authorization", "Bearer hunter2")
    };
    let in_url = checked(config("valkey://app:hunter2@127.0.0.1:6379/0"), &[]).await;
    let apart =
        checked(config("valkey://127.0.0.1:6379/0"), &[("COHERD_BACKEND__PASSWORD", "hunter2")]).await;
    let says = |text: &str, wanted: &[&str]| {
        let found = text.lines().any(|line| wanted.iter().all(|part| line.contains(part)));
        assert!(found, "{wanted:?} in {text}");
    };
    for text in [&in_url, &apart] {
        assert!(!text.contains("hunter2"), "{text}");
        says(text, &["max_staleness", "3s", "--set"]);
        says(text, &["url", "127.0.0.1:6379", "secret.toml"]);
        says(text, &["authorization", "***", "secret.toml"]);
    }
    says(&in_url, &["url", "***", "127.0.0.1:6379"]);
    says(&apart, &["password", "***", "COHERD_BACKEND__PASSWORD"]);
}

#[tokio::test]
async fn what_is_asked_before_the_first_connection_is_no_failure_of_the_server() {
    // One that keeps what waits for the origin, so that nothing is degraded.
    let (server, origin) = (Server::with(Options::default().appendonly()).await, Origin::start().await);
    // Workers of a queue ask as soon as they run.
    let config = Config::new("early", &server.url_at(server.addr()))
        .namespace(NAMESPACE, &origin.url())
        .set(&format!("namespaces.{NAMESPACE}.write"), "behind");
    let instance = Instance::start(config).await;
    eventually("it is sound", SOON, async || instance.is_sound().await).await;
    assert!(!instance.output().contains("breaker `backend` is open"), "{}", instance.output());
}
