//! P3 where the server's clock goes back: the numbers of events do not.

use crate::harness::clock::Clocks;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::server::Options;
use crate::harness::wait::{SOON, eventually};
use crate::harness::wind::invalidation;
use crate::promises::steps::{LONG, all_attached, converges, publishes, setup, version_of, warm};

/// Events that one instance hears of and another does not.
const UNHEARD: usize = 100;

/// The number of an event of its own that an instance publishes as soon as it can.
async fn number(at: &Instance) -> u64 {
    let id = eventually("an event is logged", SOON, async || {
        let answer = at.purge(NAMESPACE, "k").send().await;
        answer.header("coherd-log-id").map(str::to_owned)
    });
    id.await.strip_suffix("-0").and_then(|seq| seq.parse().ok()).expect("a number")
}

/// A cluster whose server's clock has gone back by an hour, and whose last instance has heard of events that the first,
/// which is cut off, has not. The id of the last of them. `None` where clocks cannot be stepped.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn stepped_back() -> Option<(Clocks, Cluster, String)> {
    let Some(clocks) = Clocks::build() else {
        eprintln!("left out: clocks cannot be stepped without Linux and a C compiler");
        return None;
    };
    clocks.set("server", 3_600);
    let server = Options::default().env(clocks.variables("server"));
    let cluster = Cluster::with(Setup { server, ..setup(LONG) }).await;
    cluster.origin.set("k", 1);
    publishes([cluster.instance(0), cluster.instance(2)]).await;
    clocks.set("server", 0);

    cluster.wire(0).cut().await;
    let mut client = cluster.server.connect().await;
    let mut last = String::new();
    for _ in 0..UNHEARD {
        last = client.command(&invalidation(NAMESPACE, "k")).await.expect("the server answers").text();
    }
    eventually("the last event is heard of", SOON, async || {
        cluster.instance(2).admin("/stats").await["log"]["cursor"].as_str() == Some(last.as_str())
    })
    .await;
    Some((clocks, cluster, last))
}

/// Everybody is back, agrees, and knows of nothing that is missing.
async fn heals(cluster: &Cluster) {
    for node in &cluster.nodes {
        node.valkey.restore().await;
    }
    all_attached(cluster).await;
    warm(cluster, "k").await;
    converges(cluster, &["k"]).await;
    for node in &cluster.nodes {
        eventually("nothing is missing", SOON, async || {
            let log = &node.instance.admin("/stats").await["log"];
            log["lag_events"] == 0 && log["cursor"] == log["head"]
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_forgets_after_its_clock_went_back_gives_no_number_twice() {
    let Some((_clocks, cluster, last)) = stepped_back().await else { return };
    let ahead = cluster.instance(2);
    warm_at(ahead).await;
    cluster.wire(1).cut().await;
    cluster.wire(2).cut().await;

    assert_eq!(cluster.server.command(&["FLUSHALL"]).await.text(), "OK");
    cluster.origin.set("k", 2);
    cluster.wire(0).restore().await;
    let number = number(cluster.instance(0)).await;
    let last: u64 = last.strip_suffix("-0").and_then(|seq| seq.parse().ok()).expect("a number");
    let answer = ahead.get(NAMESPACE, "k").header("coherd-min-log-id", &format!("{number}-0")).send().await;
    assert_eq!(version_of(&answer), 2, "event {number} was taken for one before {last}: {answer:?}");
    assert!(last < number, "{number} was given before: {last} was");
    heals(&cluster).await;
}

#[tokio::test]
async fn an_instance_that_knew_of_higher_numbers_misses_none_of_them() {
    let Some((_clocks, mut cluster, _)) = stepped_back().await else { return };
    cluster.wire(1).cut().await;
    cluster.wire(2).cut().await;
    // It knows of no number at all, and nobody else is there to tell.
    cluster.nodes[0].instance.kill().await;
    assert_eq!(cluster.server.command(&["FLUSHALL"]).await.text(), "OK");
    cluster.wire(0).restore().await;
    cluster.nodes[0].instance.restart().await;
    number(cluster.instance(0)).await;
    heals(&cluster).await;
}

async fn warm_at(at: &Instance) {
    eventually("it answers from its memory", SOON, async || {
        let answer = at.get(NAMESPACE, "k").send().await;
        answer.header("cache-status").is_some_and(|status| status.contains("detail=l1"))
    })
    .await;
}
