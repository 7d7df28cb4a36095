//! Whatever others put into the keys that coherd uses: nothing of it crashes an instance or keeps it from its work.

use std::time::Duration;

use serde_json::json;

use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};

const INBOX: &str = "coherd:{main}:inbox";

async fn start() -> Cluster {
    let setup = Setup::new(2).set("coherence.max_staleness", "1s").set("log.level", "info");
    let cluster = Cluster::with(setup.namespace("ttl", "60s").namespace("lease", "1s")).await;
    cluster.origin.set("k", 0);
    everything_works(&cluster, "at the start").await;
    cluster
}

async fn version(cluster: &Cluster, instance: usize) -> u64 {
    let answer = cluster.instance(instance).get(NAMESPACE, "k").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["version"].as_u64().expect("a version is a number")
}

/// Reads, invalidations from all doors, and what the others know of them.
async fn everything_works(cluster: &Cluster, after: &str) {
    eventually(&format!("{after}: both follow the log"), SOON, async || {
        cluster.instance(0).is_sound().await && cluster.instance(1).is_sound().await
    })
    .await;
    for publisher in 0..2 {
        version(cluster, 1 - publisher).await;
        let bumped = cluster.origin.bump("k");
        let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
        let published = cluster.instance(publisher).invalidate("?wait=all", &event).send().await;
        assert_eq!(published.status, 200, "{after}: {published:?}");
        for reader in 0..2 {
            assert_eq!(version(cluster, reader).await, bumped, "{after}, at {reader}");
        }
    }
    // Not at once: on a machine that is busy an instance may be late with its proof, and load past its copies.
    eventually(&format!("{after}: what was loaded is kept"), SOON, async || {
        version(cluster, 0).await;
        let loads = cluster.origin.reads("k");
        version(cluster, 0).await;
        cluster.origin.reads("k") == loads
    })
    .await;
    let bumped = cluster.origin.bump("k");
    let told = cluster.server.command(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", "k"]).await;
    assert!(matches!(told, Reply::Text(_)), "{after}: {told:?}");
    for reader in 0..2 {
        eventually(&format!("{after}: the inbox is obeyed at {reader}"), SOON, async || {
            version(cluster, reader).await == bumped
        })
        .await;
    }
}

/// Puts a value of another type in place of each key.
async fn of_another_type(put: &str) {
    let cluster = start().await;
    for key in ["ctl", "log", "mem", "wm:0", "wm:1", "e:things:v1:k", "rq:x"] {
        let key = format!("coherd:{{main}}:{key}");
        cluster.server.command(&["DEL", &key]).await;
        let done = cluster.server.command(&[put, &key, "junk"]).await;
        assert!(!matches!(done, Reply::Error(_)), "{done:?}");
        everything_works(&cluster, &format!("{put} {key}")).await;
    }
}

#[tokio::test]
async fn keys_that_became_strings_are_got_over() {
    of_another_type("SET").await;
}

#[tokio::test]
async fn keys_that_became_lists_are_got_over() {
    of_another_type("LPUSH").await;
}

/// Does what no script of coherd's does.
async fn written_by_nobody(junk: &[&[&str]]) {
    let cluster = start().await;
    for command in junk {
        let done = cluster.server.command(command).await;
        assert!(!matches!(done, Reply::Error(_)), "{command:?}: {done:?}");
        everything_works(&cluster, &format!("{command:?}")).await;
    }
}

#[tokio::test]
async fn a_control_record_that_nobody_wrote_is_got_over() {
    written_by_nobody(&[
        &["HSET", "coherd:{main}:ctl", "seq", "banana"],
        &["HSET", "coherd:{main}:ctl", "lin", "\r\n", "nonce", "", "rid", "x"],
        &["HSET", "coherd:{main}:ctl", "floor", "-1", "cur", "7", "logmax", "x", "wmmax", "x"],
        &["HSET", "coherd:{main}:ctl", "members", "many"],
        &["HDEL", "coherd:{main}:ctl", "nonce"],
        &["HSET", "coherd:{main}:mem", "ghost", "banana", "", "1|2|3"],
    ])
    .await;
}

#[tokio::test]
async fn a_log_watermarks_and_entries_that_nobody_wrote_are_got_over() {
    let max = u64::MAX.to_string();
    let last = format!("{max}-{max}");
    written_by_nobody(&[
        &["XADD", "coherd:{main}:log", &last, "foreign", "entry"],
        &["XTRIM", "coherd:{main}:log", "MAXLEN", "0"],
        &["HSET", "coherd:{main}:wm:0", "k/things/k", "banana", "~k/things/k", "-1"],
        &["HSET", "coherd:{main}:e:things:v1:k", "v", "junk", "tg", "junk", "x", "junk"],
        &["HSET", "coherd:{main}:e:things:v1:k", "v", ""],
        &["PUBLISH", "coherd:{main}:events", "junk"],
    ])
    .await;
}

#[tokio::test]
async fn a_publisher_does_not_take_members_that_somebody_removed_for_members_that_confirmed() {
    let cluster = start().await;
    let members = "coherd:{main}:mem";
    for junk in [&["DEL", members][..], &["SET", members, "junk"]] {
        version(&cluster, 1).await;
        cluster.wire(1).stall();
        let bumped = cluster.origin.bump("k");
        cluster.server.command(junk).await;
        let event = json!({"namespace": NAMESPACE, "keys": ["k"]});
        let published = cluster.instance(0).invalidate("?wait=all", &event).send().await;
        assert_eq!(published.status, 200, "{junk:?}: {published:?}");
        assert_eq!(version(&cluster, 1).await, bumped, "{junk:?}: at the one that could not hear of it");
        cluster.wire(1).restore().await;
        cluster.server.command(&["DEL", members]).await;
        everything_works(&cluster, &junk.join(" ")).await;
    }
}

#[tokio::test]
async fn a_lease_that_nobody_gave_holds_nobody_up_for_longer_than_a_lease() {
    let cluster = start().await;
    let lease = "coherd:{main}:l:things:k";
    for junk in [&["SET", lease, "junk"][..], &["LPUSH", lease, "junk"], &["SET", lease, "a|1|00ff"]] {
        let bumped = cluster.origin.bump("k");
        assert_eq!(cluster.instance(0).purge(NAMESPACE, "k").send().await.status, 200);
        cluster.server.command(junk).await;
        let began = tokio::time::Instant::now();
        for reader in 0..2 {
            assert_eq!(version(&cluster, reader).await, bumped, "{junk:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{junk:?}: {:?}", began.elapsed());
        cluster.server.command(&["DEL", lease]).await;
        everything_works(&cluster, &junk.join(" ")).await;
    }
}

#[tokio::test]
async fn an_inbox_that_is_none_is_got_over_once_it_is_removed_and_what_is_malformed_holds_nothing_up() {
    let cluster = start().await;
    for junk in [["SET", INBOX, "junk"], ["LPUSH", INBOX, "junk"]] {
        cluster.server.command(&["DEL", INBOX]).await;
        cluster.server.command(&junk).await;
        eventually("the other doors are open", SOON, async || {
            let purged = cluster.instance(0).purge(NAMESPACE, "k").send().await;
            purged.status == 200 && cluster.instance(0).is_sound().await
        })
        .await;
        version(&cluster, 1).await;
        cluster.server.command(&["DEL", INBOX]).await;
        everything_works(&cluster, &junk.join(" ")).await;
    }
    let malformed: [&[&str]; 7] = [
        &["ns", NAMESPACE],
        &["key", "k"],
        &["ns", "NO SUCH", "key", "k"],
        &["event", "{\"namespace\": 7"],
        &["event", "{}", "ns", NAMESPACE],
        &["tag", "two words"],
        &["", ""],
    ];
    let rejected = async || {
        let mut sum = 0;
        for node in &cluster.nodes {
            let page = node.instance.metrics().await;
            let counted = page.lines().filter(|line| line.starts_with("coherd_events_rejected_total{"));
            sum += counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>();
        }
        sum
    };
    let before = rejected().await;
    for fields in malformed {
        let put = cluster.server.command(&[&["XADD", INBOX, "*"], fields].concat()).await;
        assert!(matches!(put, Reply::Text(_)), "{put:?}");
    }
    cluster.server.command(&["PUBLISH", INBOX, "\u{1}junk"]).await;
    everything_works(&cluster, "malformed events").await;
    // The message on the channel is heard by both.
    eventually("each is counted", SOON, async || rejected().await == before + 9).await;
    eventually("none is left", SOON, async || cluster.server.command(&["XLEN", INBOX]).await.integer() == 0)
        .await;
}
