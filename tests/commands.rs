//! The client commands as processes, against real servers and instances.

use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::process::Process;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

fn coherd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coherd"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(arguments: &[&str]) -> Output {
    coherd(arguments).output().await.expect("coherd starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it prints UTF-8")
}

/// What a command that succeeds prints.
async fn done(arguments: &[&str]) -> String {
    let output = run(arguments).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn tail(arguments: &[&str], folder: &Path) -> Process {
    Process::spawn("coherd tail", coherd(&["tail"]).args(arguments), &folder.join("tail"))
}

#[tokio::test]
async fn ping_says_which_server_and_how_far_away_it_is() {
    let server = Server::start().await;
    let printed = done(&["ping", "--backend", &server.url_at(server.addr())]).await;
    let version = server.info("valkey_version").await.or(server.info("redis_version").await);
    assert!(printed.contains(&version.expect("it has a version")), "{printed}");
    assert!(printed.contains("round trip min ") && printed.contains(" of 100"), "{printed}");
    let set = format!("backend.url={}", server.url_at(server.addr()));
    assert!(done(&["ping", "--set", &set]).await.contains("round trip"));
}

#[tokio::test]
async fn a_server_that_is_not_there_ends_with_three_and_one_that_must_not_be_used_too() {
    let mut server = Server::start().await;
    let url = server.url_at(server.addr());
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let output = run(&["ping", "--backend", &url]).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("CONFIG SET maxmemory-policy"), "{}", text(&output.stderr));
    server.kill().await;
    let url = url.replace("://", "://me:hunter2@");
    for command in [&["ping"][..], &["tail", "--from", "start"], &["invalidate", "--all"]] {
        let output = run(&[command, &["--backend", &url]].concat()).await;
        assert_eq!(output.status.code(), Some(3), "{command:?}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("hunter2"), "{}", text(&output.stderr));
    }
}

#[tokio::test]
async fn what_is_published_past_the_instances_is_in_the_log_and_the_tail_shows_it() {
    let server = Server::start().await;
    let folder = TempDir::new().expect("a folder");
    let backend = ["--backend", &server.url_at(server.addr()), "--cluster", "other"];
    let publish = async |tag| {
        let arguments = ["invalidate", "-n", "users", "--key", "a b", "--tag", tag, "--reason", "test"];
        done(&[&arguments[..], &backend].concat()).await.trim().to_owned()
    };
    let first = publish("one").await;

    let from = [&["--json", "--from", &first][..], &backend].concat();
    let mut tail = tail(&from, folder.path());
    eventually("the first is shown", SOON, async || tail.output().lines().count() == 1).await;
    let second = publish("two").await;
    eventually("the second is shown", SOON, async || tail.output().lines().count() == 2).await;
    let shown: Vec<Value> = tail.output().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = shown.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [first, second]);
    assert_eq!((&shown[1]["tags"][0], &shown[1]["keys"][0]), (&"two".into(), &"a b".into()));

    tail.signal(Signal::INT);
    assert_eq!(tail.exit(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_tail_of_the_log_outlasts_a_server_that_restarts() {
    let mut server = Server::start().await;
    let folder = TempDir::new().expect("a folder");
    let url = server.url_at(server.addr());
    let mut tail = tail(&["--from", "start", "--backend", &url], folder.path());
    done(&["invalidate", "--tag", "before", "--backend", &url]).await;
    eventually("the event before is shown", SOON, async || tail.output().contains("tag=before")).await;
    server.kill().await;
    eventually("the loss is told", SOON, async || tail.output().contains("trying again")).await;
    server.restart().await;
    done(&["invalidate", "--tag", "after", "--backend", &url]).await;
    eventually("the event after is shown", SOON, async || tail.output().contains("tag=after")).await;
    assert!(!tail.ended());
}

#[tokio::test]
async fn the_commands_talk_to_an_instance() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    let (url, admin_url) = (instance.url(""), instance.admin_url(""));
    let folder = TempDir::new().expect("a folder");
    cluster.origin.set("a b/c", 1);

    let output = run(&["get", NAMESPACE, "a b/c", "--url", &url]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cache-status: coherd; fwd=miss"), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).expect("the origin's JSON");
    assert_eq!(value["version"], 1);

    let tail = tail(&["--admin-url", &admin_url], folder.path());
    let invalidate = ["invalidate", "-n", NAMESPACE, "--key", "a b/c", "--wait", "all", "--url", &url];
    let printed = eventually("the tail shows an event", SOON, async || {
        let printed = done(&invalidate).await;
        tail.output().contains("key=\"a b/c\"").then_some(printed)
    })
    .await;
    assert!(printed.contains(&format!("applied: {}", instance.id())), "{printed}");

    let status = done(&["status", "--admin-url", &admin_url]).await;
    for part in [instance.id(), "attached", "ready", NAMESPACE] {
        assert!(status.contains(part), "`{part}` is not in\n{status}");
    }
    let stats: Value = serde_json::from_str(&done(&["status", "--json", "--admin-url", &admin_url]).await)
        .expect("the document of /stats");
    assert_eq!(stats["instance"], instance.id());

    let output = run(&["get", "nowhere", "1", "--url", &url]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("unknown_namespace"), "{}", text(&output.stderr));
}
