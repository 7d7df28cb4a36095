//! `coherence.on_failover = "verify"`: on another server what L2 holds is kept where nothing is lost, what is missing is
//! said again by those who remember it, and where that cannot be known nothing is kept.

use std::time::Duration;

use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::proxy::Proxy;
use crate::harness::resp::Reply;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};
use crate::promises::steps::{all_attached, instances, key_event, nothing_older, read, warm};

const CTL: &str = "coherd:{main}:ctl";
const KEPT: [&str; 3] = ["a", "b", "c"];
/// What the server decides within, and some more.
const TRIAL: Duration = Duration::from_secs(4);

/// Three instances that hold some keys, and a replica of their server that has all that they have.
async fn replicated() -> (Cluster, Server, Proxy) {
    let setup = Setup::new(3).set("coherence.on_failover", "verify").namespace("ttl", "10m");
    let cluster = Cluster::with(setup.set("backend.command_timeout", "1s")).await;
    let link = Proxy::start(cluster.server.addr()).await;
    let replica = cluster.server.replica(link.addr()).await;
    replica.follows().await;
    // With its first replica a server becomes another one: what is kept there from now on is what counts.
    eventually("all have come to the server as it is now", SOON, async || {
        field(&cluster.server, "rid").await.text() == identity(&cluster.server).await
            && field(&cluster.server, "members").await.text() == "3"
    })
    .await;
    all_attached(&cluster).await;
    for key in KEPT {
        cluster.origin.bump(key);
        warm(&cluster, key).await;
    }
    level(&cluster.server, &replica).await;
    (cluster, replica, link)
}

/// Changes with every restart and every promotion, and with the first replica.
async fn identity(server: &Server) -> String {
    let info = server.command(&["INFO", "replication"]).await.text();
    let id = info.lines().find_map(|line| line.trim().strip_prefix("master_replid:"));
    id.expect("it has one").to_owned()
}

async fn field(server: &Server, name: &str) -> Reply {
    server.command(&["HGET", CTL, name]).await
}

/// Waits until the replica has every event, and every member.
async fn level(server: &Server, replica: &Server) {
    for name in ["seq", "members", "verify"] {
        eventually("the replica is level", SOON, async || {
            field(server, name).await == field(replica, name).await
        })
        .await;
    }
    for key in KEPT {
        eventually("the replica has the entry", SOON, async || {
            replica.command(&["EXISTS", &format!("coherd:{{main}}:e:{NAMESPACE}:v1:{key}")]).await.integer()
                == 1
        })
        .await;
    }
}

/// The server dies, and the replica takes its place for all instances.
async fn replaced(cluster: &mut Cluster, replica: &mut Server) {
    cluster.server.kill().await;
    replica.promote().await;
    for node in &cluster.nodes {
        node.valkey.point_at(replica.addr());
        node.valkey.close_all();
    }
}

/// Waits until an instance follows what the new server has begun: its lease may outlast the old one.
async fn follows_on(at: &Instance, replica: &Server) {
    let id = identity(replica).await;
    let start = eventually("the new server has begun its own lineage", SOON, async || {
        let ours = field(replica, "rid").await.text() == id;
        ours.then_some(field(replica, "start").await.text().parse::<u64>().ok()).flatten()
    })
    .await;
    eventually("the instance follows the new server", SOON, async || {
        let stats = at.admin("/stats").await;
        let cursor = stats["log"]["cursor"].as_str().and_then(|id| id.split('-').next()?.parse::<u64>().ok());
        stats["attached"] == true && cursor.is_some_and(|cursor| start <= cursor)
    })
    .await;
}

/// What the server has decided.
async fn decided(replica: &Server) -> bool {
    let text = |reply: Reply| matches!(reply, Reply::Text(_)).then(|| reply.text()).unwrap_or_default();
    eventually("it is decided", TRIAL + SOON, async || {
        let (kin, trial) = (text(field(replica, "kin").await), text(field(replica, "trial").await));
        match (kin.as_str(), trial.as_str()) {
            (_, "") => None,
            ("", _) => Some(false),
            (_, "0") => Some(true),
            _ => None,
        }
    })
    .await
}

fn loads(cluster: &Cluster) -> u64 {
    KEPT.iter().map(|key| cluster.origin.reads(key)).sum()
}

#[tokio::test]
async fn what_a_replica_has_whole_is_kept() {
    let (mut cluster, mut replica, _link) = replicated().await;
    let before = loads(&cluster);
    replaced(&mut cluster, &mut replica).await;
    for at in instances(&cluster) {
        follows_on(at, &replica).await;
    }
    assert!(decided(&replica).await, "nothing is lost");
    nothing_older(&cluster, &KEPT).await;
    assert_eq!(loads(&cluster), before, "nobody has asked the origin");
    // It is held against events as before.
    for key in KEPT {
        cluster.origin.bump(key);
        let purged = cluster.instance(0).invalidate("?wait=all", &key_event(key)).send().await;
        assert_eq!(purged.status, 200, "{purged:?}");
    }
    nothing_older(&cluster, &KEPT).await;
}

#[tokio::test]
async fn events_that_a_replica_lacks_are_logged_again() {
    let (mut cluster, mut replica, link) = replicated().await;
    link.stall();
    let before = cluster.origin.version("a").expect("it is there");
    let newer = cluster.origin.bump("a");
    assert_eq!(cluster.instance(0).purge(NAMESPACE, "a").send().await.status, 200);
    // All have heard of it; nobody has loaded it again, or the replica would not matter.
    for at in instances(&cluster) {
        let last = field(&cluster.server, "seq").await.text();
        eventually("it is applied", SOON, async || {
            at.admin("/stats").await["log"]["cursor"].as_str().is_some_and(|id| id.starts_with(&last))
        })
        .await;
    }
    let loads_before = loads(&cluster);
    replaced(&mut cluster, &mut replica).await;
    let entry = format!("coherd:{{main}}:e:{NAMESPACE}:v1:a");
    assert_eq!(
        replica.command(&["EXISTS", &entry]).await.integer(),
        1,
        "the replica has what it was: {before}"
    );
    for at in instances(&cluster) {
        follows_on(at, &replica).await;
    }
    assert!(decided(&replica).await, "what it lacked is remembered");
    for at in instances(&cluster) {
        assert_eq!(read(at, "a").await, newer);
    }
    nothing_older(&cluster, &KEPT).await;
    assert_eq!(loads(&cluster), loads_before + 1, "what was named was loaded again, and nothing else");
}

#[tokio::test]
async fn without_the_word_of_one_that_was_there_nothing_is_kept() {
    let (mut cluster, mut replica, link) = replicated().await;
    link.stall();
    cluster.origin.bump("a");
    assert_eq!(cluster.instance(0).purge(NAMESPACE, "a").send().await.status, 200);
    let before = loads(&cluster);
    cluster.instance(2).pause();
    replaced(&mut cluster, &mut replica).await;
    for number in [0, 1] {
        follows_on(cluster.instance(number), &replica).await;
    }
    let before = loads(&cluster).max(before);
    let at = cluster.instance(1);
    eventually("everything is loaded again", SOON, async || {
        for key in KEPT {
            assert_eq!(Some(read(at, key).await), cluster.origin.version(key));
        }
        before + KEPT.len() as u64 <= loads(&cluster)
    })
    .await;
    cluster.instance(2).resume();
    // Nothing may be kept within milliseconds: until it has noticed it may answer by its lease, as far as that goes.
    follows_on(cluster.instance(2), &replica).await;
    nothing_older(&cluster, &KEPT).await;
    assert!(!decided(&replica).await, "what comes late changes nothing");
}
