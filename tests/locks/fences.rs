//! Fences: they only grow, whatever becomes of the store that gives them out.

use super::{Held, assert_locked, assert_lost, delete, held, post, put};
use crate::harness::clock::Clocks;
use crate::harness::instance::{Cluster, Setup};
use crate::harness::resp::Reply;
use crate::harness::server::Options;
use crate::harness::wait::{SOON, eventually};

const FENCE: &str = "coherd:{main}:fence";

/// The lock, as soon as it is to be had through one of the instances, in turn.
async fn taken(cluster: &Cluster, round: usize) -> Held {
    let instance = cluster.instance(round % cluster.nodes.len());
    eventually("the lock is to be had", SOON, async || {
        let answer = post(instance, "l", "?ttl=300ms").await;
        (answer.status == 200).then(|| held(&answer))
    })
    .await
}

#[tokio::test]
async fn a_fence_grows_though_the_store_is_emptied_restored_or_lost() {
    let mut cluster = Cluster::with(Setup { server: Options::default().appendonly(), ..Setup::new(2) }).await;
    let mut last = taken(&cluster, 0).await.fence;
    let dump = cluster.server.dump().await;
    for round in 1..13 {
        match round % 6 {
            1 => assert_eq!(cluster.server.command(&["FLUSHALL"]).await.text(), "OK"),
            2 => cluster.server.restart_empty().await,
            3 => cluster.server.restart_with(&dump).await,
            4 => cluster.server.restart().await,
            5 => assert_eq!(cluster.server.command(&["DEL", "coherd:{main}:ctl", FENCE]).await.integer(), 2),
            _ => assert_eq!(cluster.server.command(&["LPUSH", "x", "y"]).await.integer(), 1),
        }
        let fence = taken(&cluster, round).await.fence;
        assert!(last < fence, "round {round}: {fence} after {last}");
        last = fence;
        if round % 6 == 0 {
            cluster.server.command(&["DEL", "x"]).await;
        }
    }
}

#[tokio::test]
async fn a_fence_grows_though_the_servers_clock_was_set_back() {
    let cluster = Cluster::start(2).await;
    let mut last = taken(&cluster, 0).await.fence;
    // As if it had been an hour ahead until now.
    let ahead = last + 3_600_000_000;
    cluster.server.command(&["SET", FENCE, &ahead.to_string()]).await;
    for round in 0..4 {
        let fence = taken(&cluster, round).await.fence;
        assert!(last < fence && ahead < fence, "{fence} after {last}");
        last = fence;
    }
}

/// Each has seen the server's clock often: what it takes it for is off by the quickest of the questions.
async fn clock_is_known(cluster: &Cluster) {
    eventually("all have asked for the server's time often", SOON, async || {
        let members = cluster.server.command(&["HVALS", "coherd:{main}:mem"]).await;
        let members: Vec<_> = members.items().iter().map(Reply::text).collect();
        let often = |member: &String| {
            member.split('|').nth(1).is_some_and(|beats| beats.parse().is_ok_and(|beats: u64| 8 < beats))
        };
        (members.len() == cluster.nodes.len() && members.iter().all(often)).then_some(())
    })
    .await;
}

/// As a replica may be that is promoted with a clock of its own, and lacks what the primary did last.
#[tokio::test]
async fn a_fence_grows_though_what_is_lost_is_followed_by_a_clock_that_is_behind_through_any_instance() {
    let Some(clocks) = Clocks::build() else { return };
    let server = Options::default().appendonly().env(clocks.variables("server"));
    let mut cluster = Cluster::with(Setup { server, ..Setup::new(2) }).await;
    clock_is_known(&cluster).await;
    let first = taken(&cluster, 0).await;
    // What expires by a clock that is set back is there for longer.
    delete(cluster.instance(0), "l", &first.token).await;
    let dump = cluster.server.dump().await;
    let mut last = taken(&cluster, 0).await.fence;
    for round in 1..5 {
        clocks.set("server", -3600 * i64::try_from(round).expect("a few"));
        match round % 3 {
            0 => assert_eq!(cluster.server.command(&["FLUSHALL"]).await.text(), "OK"),
            1 => cluster.server.restart_with(&dump).await,
            _ => cluster.server.restart_empty().await,
        }
        // Through another instance than the last: it has not seen that fence.
        let fence = taken(&cluster, round).await.fence;
        assert!(last < fence, "round {round}: {fence} after {last}");
        last = fence;
    }
}

#[tokio::test]
async fn an_instance_that_has_seen_a_fence_gets_none_below_it_from_a_server_that_forgot_it_and_is_slow() {
    let cluster = Cluster::start(1).await;
    let mut last = taken(&cluster, 0).await.fence + 3_600_000_000;
    cluster.server.command(&["SET", FENCE, &last.to_string()]).await;
    for _ in 0..4 {
        let fence = taken(&cluster, 0).await.fence;
        assert!(last < fence, "{fence} after {last}");
        last = fence;
        cluster.server.command(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn foreign_junk_in_place_of_locks_and_fences_does_no_harm() {
    let cluster = Cluster::start(1).await;
    let mut last = taken(&cluster, 0).await.fence;
    let junk: [&[&str]; 8] = [
        &["SET", FENCE, "nonsense"],
        &["SET", FENCE, "nan"],
        &["SET", FENCE, "inf"],
        &["SET", FENCE, "-1"],
        &["SET", FENCE, "9007199254740993"],
        &["DEL", FENCE],
        &["SET", "coherd:{main}:lock:l", "nonsense"],
        &["SET", "coherd:{main}:lock:l", "a|1|"],
    ];
    for words in junk {
        cluster.server.command(words).await;
        let fence = taken(&cluster, 0).await.fence;
        assert!(last < fence, "{words:?}: {fence} after {last}");
        last = fence;
    }
    for key in [FENCE, "coherd:{main}:lock:l"] {
        cluster.server.command(&["DEL", key]).await;
        cluster.server.command(&["LPUSH", key, "x"]).await;
        let fence = taken(&cluster, 0).await.fence;
        assert!(last < fence, "{key}: {fence} after {last}");
        last = fence;
    }
}

#[tokio::test]
async fn a_lock_from_before_a_restart_stands_until_it_expires_and_is_not_extended() {
    let mut cluster = Cluster::with(Setup { server: Options::default().appendonly(), ..Setup::new(1) }).await;
    let lock = held(&post(cluster.instance(0), "l", "?ttl=10m").await);
    cluster.server.restart().await;
    let instance = cluster.instance(0);
    let refused = eventually("it asks the server again", SOON, async || {
        let answer = post(instance, "l", "").await;
        (answer.status != 503).then_some(answer)
    });
    assert_locked(&refused.await);
    // Had the server come back with an older dump, another might have had it meanwhile.
    assert_lost(&put(instance, "l", "", &lock.token).await);
}
