//! Conditional loads: a 304 renews the copy, under the rules of any other load.

use super::read;
use crate::harness::instance::{Cluster, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::wait::{SOON, eventually};

fn setup(window: &str) -> Setup {
    let setup = Setup::new(2).namespace("ttl_jitter", 0.0).namespace("lease", "30s");
    setup.namespace("origin.timeout", "30s").namespace(window, "10m")
}

#[tokio::test]
async fn an_origin_that_knows_dates_only_is_asked_by_date() {
    let cluster = Cluster::with(setup("stale_if_error")).await;
    cluster.origin.set("k", 1);
    let dated = |life: &str| Behaviour { dated: true, ..Behaviour::default() }.header("cache-control", life);
    cluster.origin.behave("k", dated("max-age=1"));
    assert_eq!(read(cluster.instance(0), "k").await.1, Some(1));
    eventually("its time is over and it is asked whether it still stands", SOON, async || {
        assert_eq!(read(cluster.instance(0), "k").await.1, Some(1));
        cluster.origin.not_modified("k") == 1
    })
    .await;
    let version = cluster.origin.bump("k");
    eventually("the new version is there", SOON, async || {
        read(cluster.instance(0), "k").await.1 == Some(version)
    })
    .await;
}
