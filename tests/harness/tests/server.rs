//! The server's deaths and returns.

use std::time::Duration;

use tokio::time::timeout;

use crate::harness::resp::{Connection, Reply};
use crate::harness::server::{Options, Server};
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_with_what_its_file_holds() {
    let mut server = Server::with(Options::default().appendonly()).await;
    let (addr, run) = (server.addr(), server.info("run_id").await);
    server.command(&["SET", "k", "v"]).await;

    server.kill().await;
    assert!(Connection::open(addr, None).await.is_err(), "nobody listens");
    server.restart().await;

    assert_eq!(server.addr(), addr);
    assert_ne!(server.info("run_id").await, run);
    assert_eq!(server.command(&["GET", "k"]).await.text(), "v");
}

#[tokio::test]
async fn a_server_that_keeps_nothing_comes_back_empty() {
    let mut server = Server::start().await;
    server.command(&["SET", "k", "v"]).await;
    server.restart().await;
    assert_eq!(server.command(&["GET", "k"]).await, Reply::Nil);
}

#[tokio::test]
async fn an_older_dump_brings_back_what_was_and_a_later_restart_keeps_what_followed() {
    let mut server = Server::with(Options::default().appendonly()).await;
    server.command(&["SET", "k", "old"]).await;
    let dump = server.dump().await;
    server.command(&["SET", "k", "new"]).await;

    server.restart_with(&dump).await;
    assert_eq!(server.command(&["GET", "k"]).await.text(), "old");

    server.command(&["SET", "k", "newer"]).await;
    server.restart().await;
    assert_eq!(server.command(&["GET", "k"]).await.text(), "newer");

    server.restart_empty().await;
    assert_eq!(server.command(&["DBSIZE"]).await.integer(), 0);
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_it_is_resumed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    server.pause();
    let early = timeout(Duration::from_millis(200), connection.command(&["INCR", "n"])).await;
    assert!(early.is_err(), "answered while paused: {early:?}");
    server.resume();
    let late = timeout(SOON, connection.read()).await.expect("answered in time").expect("answered");
    assert_eq!(late, Reply::Integer(1));
}

#[tokio::test]
async fn a_password_is_asked_for() {
    let server = Server::with(Options::default().password("secret")).await;
    let mut stranger = Connection::open(server.addr(), None).await.expect("connects");
    let refused = stranger.command(&["GET", "k"]).await.expect("answers");
    assert!(matches!(&refused, Reply::Error(error) if error.starts_with("NOAUTH")), "{refused:?}");
    assert_eq!(server.command(&["PING"]).await.text(), "PONG");
    assert!(server.url_at(server.addr()).starts_with("valkey://:secret@127.0.0.1:"));
}

#[tokio::test]
async fn a_primary_without_its_replica_refuses_writes() {
    let primary = Server::with(Options::default().min_replicas(1)).await;
    let mut replica = Server::with(Options::default().replica_of(primary.addr())).await;
    let write = async || primary.command(&["SET", "k", "v"]).await;
    eventually("the primary takes writes", SOON, async || write().await == Reply::Text(b"OK".to_vec())).await;
    eventually("the replica has it", SOON, async || {
        replica.command(&["GET", "k"]).await == Reply::Text(b"v".to_vec())
    })
    .await;

    replica.kill().await;
    eventually(
        "the primary refuses writes",
        SOON,
        async || matches!(write().await, Reply::Error(error) if error.starts_with("NOREPLICAS")),
    )
    .await;
}

#[tokio::test]
async fn a_subscription_hears_what_is_published() {
    let server = Server::start().await;
    let mut subscriber = server.connect().await;
    subscriber.command(&["SUBSCRIBE", "news"]).await.expect("subscribes");
    assert_eq!(server.command(&["PUBLISH", "news", "hello"]).await.integer(), 1);
    let message = subscriber.read().await.expect("a message");
    assert_eq!(message.items()[2].text(), "hello");
}
