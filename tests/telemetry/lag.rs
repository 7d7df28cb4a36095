//! The lag is right whatever the time of day is thought to be, here and at the server.

use crate::harness::clock::Clocks;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::server::Options;
use crate::harness::wait::{SOON, eventually};

/// No event takes longer on this machine, however busy it is; clocks here are minutes apart.
const LATEST: &str = r#"{le="10"}"#;

async fn applied(instance: &Instance) -> (f64, f64, f64) {
    let of = async |suffix: &str| {
        let name = format!("coherd_invalidation_lag_seconds{suffix}");
        instance.metric(&name).await.expect("a part of the histogram")
    };
    (of("_count").await, of(&format!("_bucket{LATEST}")).await, of("_sum").await)
}

async fn publish(cluster: &Cluster, times: usize) {
    let (before, ..) = applied(cluster.instance(1)).await;
    for _ in 0..times {
        assert_eq!(cluster.instance(0).purge(NAMESPACE, "k").send().await.status, 200);
    }
    eventually("the events are applied", SOON, async || {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let all = before + times as f64;
        all <= applied(cluster.instance(1)).await.0
    })
    .await;
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn clocks_that_are_minutes_apart_and_are_set_do_not_show_in_the_lag() {
    let Some(clocks) = Clocks::build() else {
        eprintln!("left out: clocks cannot be set without Linux and a C compiler");
        return;
    };
    clocks.set("server", 300);
    let server = Options::default().env(clocks.variables("server"));
    let cluster = Cluster::with(Setup { server, ..Setup::new(2) }).await;
    publish(&cluster, 20).await;
    for ahead in [3_900, -7_200] {
        clocks.set("server", ahead);
        eventually("both have noticed", SOON, async || {
            let noticed = |node: &crate::harness::instance::Instance| {
                node.output().matches("the server's clock was set").count()
            };
            let times = if ahead == 3_900 { 1 } else { 2 };
            cluster.nodes.iter().all(|node| times <= noticed(&node.instance))
        })
        .await;
        publish(&cluster, 20).await;
    }
    for node in &cluster.nodes {
        let (count, in_time, sum) = applied(&node.instance).await;
        assert!(60.0 <= count && (count - in_time).abs() < 0.5, "{count} events, {in_time} in time");
        let page = node.instance.metrics().await;
        assert!(0.0 < sum && sum < 10.0 * count, "{sum} s for {count}: {page}");
        // Not zero either: whoever takes the wrong clock shows nothing at all for half of them.
        let quickest = node.instance.metric(r#"coherd_invalidation_lag_seconds_bucket{le="0.00005"}"#).await;
        assert!(quickest < Some(count / 2.0), "{quickest:?} of {count} took no time: {page}");
    }
}
