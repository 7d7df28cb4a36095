//! What hangs is cut off at its deadline, counted, and stands in nobody's way.

use super::*;

fn overruns(node: &Node, task: &str) -> u64 {
    let series = format!("coherd_task_overruns_total{{task=\"{task}\"}} ");
    let page = node.metrics.text();
    page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn loads_that_never_end_are_cut_off_and_their_leases_given_up() {
    let lease = Duration::from_mins(1);
    let cluster = Cluster::with(2, |settings| settings.lease = lease).await;
    cluster.origin.hold();
    // An origin that obeys no time-out of its own. The second load gets its lease when that of the first has run out.
    let began = tokio::time::Instant::now();
    let never = |node: usize| {
        let (cache, at) = (Arc::clone(&cluster.node(node).cache), key("1"));
        async move { cache.get("users", &at, &Demand::default()).await }
    };
    let (first, second) = tokio::join!(never(0), never(1));
    for cut_off in [first, second] {
        assert!(matches!(cut_off, Err(GetError::Origin(OriginError::TimedOut))), "{cut_off:?}");
    }
    let took = began.elapsed();
    assert!(lease < took && took < lease + Duration::from_secs(10), "{took:?}");
    assert_eq!(cluster.origin.loads(), 2);
    for node in [0, 1] {
        assert_eq!(overruns(cluster.node(node), "cache.load"), 1);
    }

    cluster.origin.open();
    let began = tokio::time::Instant::now();
    assert_eq!(cluster.node(0).get("1").await, 0);
    assert!(began.elapsed() < Duration::from_secs(1), "the second lease has most of its minute left");
}

#[tokio::test(start_paused = true)]
async fn a_load_has_as_much_longer_as_the_backend_may_take() {
    let mut took = Vec::new();
    for backend_max in [5, 50].map(Duration::from_secs) {
        let cluster = Cluster::with(1, |settings| settings.backend_max = backend_max).await;
        cluster.origin.hold();
        let began = tokio::time::Instant::now();
        let cut_off = cluster.node(0).cache.get("users", &key("1"), &Demand::default()).await;
        assert!(matches!(cut_off, Err(GetError::Origin(OriginError::TimedOut))), "{cut_off:?}");
        assert!(backend_max < began.elapsed(), "{:?} of {backend_max:?}", began.elapsed());
        took.push(began.elapsed());
    }
    let longer = took[1].saturating_sub(took[0]);
    assert_eq!(longer.as_secs(), 45, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_never_ends_is_cut_off_too() {
    let cluster = Cluster::with(1, |settings| {
        settings.lifetime.fresh = Duration::from_secs(1);
        settings.lifetime.stale_while_revalidate = Duration::from_hours(1);
    })
    .await;
    let node = cluster.node(0);
    assert_eq!(node.get("1").await, 0);
    cluster.origin.hold();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(node.via("1").await, Via::Stale);
    cluster.origin.arrived(2).await;
    cluster.eventually("it is cut off", || overruns(node, "cache.refresh") == 1).await;
    assert!(node.metrics.text().contains(r#"coherd_refreshes_total{namespace="users",outcome="failed"} 1"#));
    cluster.origin.open();
    assert_eq!(node.via("1").await, Via::Stale);
    cluster.origin.arrived(3).await;
}
