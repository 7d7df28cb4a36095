//! What keeps a write that was acknowledged: the server's memory, its disk, a replica; as far as it was asked for and was
//! to be had in time.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::{drained, put, setup};
use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::proxy::{Direction, Proxy};
use crate::harness::resp::Reply;
use crate::harness::server::{Options, Server};
use crate::harness::wait::{SOON, eventually};

/// `backend.command_timeout` where one is waited for in vain.
const BRIEF: Duration = Duration::from_millis(800);

/// How long the replica's words are on their way where it is far.
const FAR: Duration = Duration::from_millis(300);

/// A cluster of one that writes behind, on such a server.
async fn cluster(server: Options, command_timeout: &str) -> Cluster {
    let mut setup = setup(1, "behind").set("backend.command_timeout", command_timeout);
    setup.server = server;
    Cluster::with(setup).await
}

fn everysec() -> Options {
    Options::default().appendonly().set("appendfsync", "everysec")
}

/// Whether the server can be asked what it has on its disk: Valkey, and Redis from 7.2 on.
async fn has_waitaof(server: &Server) -> bool {
    match server.command(&["WAITAOF", "0", "0", "0"]).await {
        Reply::Error(error) => {
            assert!(error.contains("unknown command"), "{error}");
            false
        }
        _ => true,
    }
}

async fn put_wanting(at: &Instance, key: &str, wanted: &str) -> Response {
    at.put(NAMESPACE, key, "v").header("coherd-durability", wanted).send().await
}

fn kept(answer: &Response) -> &str {
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.header("coherd-durability").expect("a write behind says what keeps it")
}

#[tokio::test]
async fn what_the_server_has_on_disk_is_said() {
    let cluster = cluster(Options::default().appendonly(), "2s").await;
    assert_eq!(kept(&put(cluster.instance(0), "k", "v").await), "aof");
    assert!(cluster.instance(0).is_sound().await);
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_warned_of_and_no_replica_is_there_to_have_it() {
    let cluster = cluster(Options::default(), "800ms").await;
    let (status, document) = cluster.instance(0).readyz().await;
    let degraded = document["degraded"].to_string();
    assert!(status == 200 && degraded.contains("keeps nothing on disk"), "{degraded}");
    for wanted in ["aof", "replica"] {
        assert_eq!(kept(&put_wanting(cluster.instance(0), "k", wanted).await), "memory", "{wanted}");
    }
    let asked = put_wanting(cluster.instance(0), "k", "tape").await;
    assert_eq!((asked.status, &asked.json()["code"]), (400, &json!("bad_request")));
}

#[tokio::test]
async fn a_file_that_is_synced_every_second_is_waited_for_where_that_is_asked_for() {
    let cluster = cluster(everysec(), "2s").await;
    let at = cluster.instance(0);
    let there = if has_waitaof(&cluster.server).await { "aof" } else { "memory" };
    assert_eq!(kept(&put(at, "plain", "v").await), "memory", "its last second may be lost");
    // At any time between two syncs, many at once.
    for round in 0..4 {
        let writes = (0..10).map(async |number| {
            tokio::time::sleep(Duration::from_millis(100) * number).await;
            put_wanting(at, &format!("{round}-{number}"), "aof").await
        });
        for answer in join_all(writes).await {
            assert_eq!(kept(&answer), there);
        }
    }
    // No replica has it, the disk does.
    assert_eq!(kept(&put_wanting(at, "k", "replica").await), there);
    drained(at).await;
}

#[tokio::test]
async fn a_file_that_nobody_syncs_is_not_said_to_be_on_disk() {
    let cluster = cluster(everysec(), "800ms").await;
    let at = cluster.instance(0);
    assert_eq!(cluster.server.command(&["CONFIG", "SET", "appendfsync", "no"]).await.text(), "OK");
    // What was to be synced before that may still be.
    eventually("the file is synced no more", SOON, async || {
        let begun = Instant::now();
        let answer = put_wanting(at, "k", "aof").await;
        assert!(begun.elapsed() < 10 * BRIEF, "it was waited for too long");
        kept(&answer) == "memory"
    })
    .await;
    drained(at).await;
}

#[tokio::test]
async fn what_a_replica_has_is_said_and_is_there() {
    let cluster = cluster(Options::default(), "2s").await;
    let replica = cluster.server.replica(cluster.server.addr()).await;
    let at = cluster.instance(0);
    assert_eq!(kept(&put(at, "plain", "v").await), "memory", "nobody asked where it is");
    eventually("the replica follows", SOON, async || {
        kept(&put_wanting(at, "k", "replica").await) == "replica"
    })
    .await;
    let gate = cluster.origin.hold_writes("held");
    assert_eq!(kept(&put_wanting(at, "held", "replica").await), "replica");
    let entries = replica.command(&["KEYS", "*:e:*:held"]).await;
    let entry = entries.items().first().expect("the replica has the entry").text();
    assert!(
        matches!(replica.command(&["HGET", &entry, "d"]).await, Reply::Text(_)),
        "and that it is pending"
    );
    gate.arrived(1).await;
    gate.release();
    drained(at).await;
}

#[tokio::test]
async fn many_writes_wait_for_a_distant_replica_together() {
    let cluster = cluster(Options::default(), "2s").await;
    let link = Proxy::start(cluster.server.addr()).await;
    let _replica = cluster.server.replica(link.addr()).await;
    let at = cluster.instance(0);
    let wanted = async |key: String| kept(&put_wanting(at, &key, "replica").await).to_owned();
    eventually("the replica follows", SOON, async || wanted("k".to_owned()).await == "replica").await;
    link.delay(Direction::Up, FAR);
    for round in 0..3 {
        let writes = (0..50).map(|number| wanted(format!("{round}-{number}")));
        assert!(join_all(writes).await.iter().all(|kept| kept == "replica"), "in round {round}");
    }
    drained(at).await;
}

#[tokio::test]
async fn a_replica_that_does_not_answer_is_waited_for_no_longer_than_a_command_takes() {
    let cluster = cluster(Options::default(), "2s").await;
    let replica = cluster.server.replica(cluster.server.addr()).await;
    let at = cluster.instance(0);
    let wanted = async || {
        let kept = kept(&put_wanting(at, "k", "replica").await).to_owned();
        (kept, Instant::now())
    };
    eventually("the replica follows", SOON, async || wanted().await.0 == "replica").await;
    replica.pause();
    let begun = Instant::now();
    // Who asks for no replica does not wait for one, also beside those that do.
    let plain = async {
        let answers =
            join_all((0..20).map(async |number| put(at, &format!("plain-{number}"), "v").await)).await;
        assert!(answers.iter().all(|answer| kept(answer) == "memory"));
        Instant::now()
    };
    let ((kept, answered), plain) = tokio::join!(wanted(), plain);
    assert_eq!(kept, "memory");
    assert!(Duration::from_secs(1) < answered - begun, "it was waited for");
    assert!(plain < answered, "{:?} and {:?}", plain - begun, answered - begun);
    replica.resume();
    eventually("the replica follows again", SOON, async || wanted().await.0 == "replica").await;
    drained(at).await;
}
