//! P4: when invalidations stop, every copy agrees with the origin, whatever went on before.

use std::time::Duration;

use futures_util::future::{join_all, select};
use tokio::time::Instant;

use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};
use crate::promises::steps::{D, converges, key_event, setup, version_of};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
/// How long readers and publishers are at it.
const SPELL: Duration = Duration::from_secs(2);

/// Reads and publishes on every instance until the spell is over; every answer must be a good one. Per key there is one
/// publisher, so that what it has had acknowledged can be held against what it reads.
async fn traffic(cluster: &Cluster) {
    let end = Instant::now() + SPELL;
    let publishers = KEYS.iter().enumerate().map(async |(number, key)| {
        let at = cluster.instance(number % 3);
        while Instant::now() < end {
            let version = cluster.origin.bump(key);
            let purged = at.purge(NAMESPACE, key).send().await;
            assert_eq!(purged.status, 200, "{purged:?}");
            let id = purged.header("coherd-log-id").expect("an event has an id");
            let reader = cluster.instance((number + 1) % 3);
            let own = reader.get(NAMESPACE, key).header("coherd-min-log-id", id).send().await;
            assert!(version <= version_of(&own), "{own:?}");
        }
    });
    let readers = cluster.nodes.iter().map(async |node| {
        let mut last = [0; KEYS.len()];
        while Instant::now() < end {
            for (key, last) in KEYS.iter().zip(&mut last) {
                *last = version_of(&node.instance.get(NAMESPACE, key).send().await);
            }
        }
        last.iter().all(|version| 0 < *version)
    });
    let (_, all_read) = tokio::join!(join_all(publishers), join_all(readers));
    assert!(all_read.into_iter().all(|read| read));
}

/// Does something to the server again and again while there is traffic.
async fn survives(faults: &[&[&str]]) {
    let cluster = Cluster::with(setup(D)).await;
    for key in KEYS {
        cluster.origin.set(key, 1);
    }
    let harm = async {
        loop {
            for words in faults {
                cluster.server.command(words).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    select(Box::pin(traffic(&cluster)), Box::pin(harm)).await;
    converges(&cluster, &KEYS).await;
}

#[tokio::test]
async fn after_traffic() {
    survives(&[]).await;
}

#[tokio::test]
async fn after_scripts_and_functions_were_flushed_under_load() {
    survives(&[&["SCRIPT", "FLUSH"], &["FUNCTION", "FLUSH"]]).await;
}

#[tokio::test]
async fn after_subscribers_were_killed_under_load() {
    survives(&[&["CLIENT", "KILL", "TYPE", "pubsub"]]).await;
}

#[tokio::test]
async fn after_the_log_was_trimmed_under_load() {
    survives(&[&["XTRIM", "coherd:{main}:log", "MAXLEN", "0"]]).await;
}

#[tokio::test]
async fn after_the_server_was_emptied_under_load() {
    survives(&[&["FLUSHALL"]]).await;
}

#[tokio::test]
async fn a_function_that_was_flushed_comes_back() {
    let cluster = Cluster::with(setup(D)).await;
    assert_eq!(cluster.server.command(&["FUNCTION", "FLUSH"]).await.text(), "OK");
    let answer = cluster.instance(0).invalidate("", &key_event("a")).send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let fcall = ["FCALL", "coherd_invalidate", "1", "coherd:{main}:ctl", "ns", NAMESPACE, "key", "a"];
    eventually("it is there again", SOON, async || {
        !matches!(cluster.server.command(&fcall).await, Reply::Error(_))
    })
    .await;
}
