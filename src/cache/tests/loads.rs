//! One load per key, who waits for it, and what becomes of those who wait.

use futures_util::future::join_all;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_of_a_cold_key_on_three_instances_make_one_load() {
    let cluster = Cluster::of(3).await;
    cluster.origin.set("1", 7);
    cluster.origin.hold();
    let readers: Vec<_> = (0..1000).map(|n| cluster.node(n % 3).reading("1")).collect();
    cluster.origin.arrived(1).await;
    sleep(Duration::from_millis(50)).await;
    cluster.origin.open();
    for version in join_all(readers).await {
        assert_eq!(version.unwrap(), 7);
    }
    assert_eq!(cluster.origin.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_does_not_end_the_load_others_wait_for() {
    let cluster = Cluster::of(1).await;
    cluster.origin.hold();
    let first = cluster.node(0).reading("1");
    cluster.origin.arrived(1).await;
    let second = cluster.node(0).reading("1");
    sleep(Duration::from_millis(10)).await;
    first.abort();
    cluster.origin.open();
    assert_eq!(second.await.unwrap(), 0);
    assert_eq!(cluster.origin.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_holder_fails_another_instance_loads() {
    let cluster = Cluster::of(2).await;
    *cluster.origin.failing.lock().unwrap() = Some(OriginError::Status(500));
    cluster.origin.hold();
    let (node, at) = (cluster.node(0), key("1"));
    let cache = Arc::clone(&node.cache);
    let failing = async move { cache.get("users", &at, &Demand::default()).await };
    let other = async {
        cluster.origin.arrived(1).await;
        *cluster.origin.failing.lock().unwrap() = None;
        let waiting = cluster.node(1).reading("1");
        sleep(Duration::from_millis(50)).await;
        cluster.origin.open();
        waiting.await.unwrap()
    };
    let (failed, answered) = tokio::join!(failing, other);
    assert!(matches!(failed, Err(GetError::Origin(OriginError::Status(500)))));
    assert_eq!(answered, 0);
    assert_eq!(cluster.origin.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_backend_reads_go_to_the_origin_one_load_at_a_time() {
    let cluster = Cluster::of(1).await;
    cluster.node(0).memory.cut(true);
    sleep(D * 2).await;
    assert_eq!(cluster.node(0).via("1").await, Via::Bypass);
    cluster.origin.hold();
    let readers: Vec<_> = (0..50).map(|_| cluster.node(0).reading("1")).collect();
    cluster.origin.arrived(2).await;
    cluster.origin.open();
    assert!(join_all(readers).await.into_iter().all(|it| it.is_ok()));
    assert_eq!(cluster.origin.peak.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_available_namespace_answers_from_its_copies_when_cut_off_and_says_so() {
    let cluster = Cluster::with(1, |it| it.available = true).await;
    assert_eq!(cluster.node(0).get("1").await, 0);
    cluster.node(0).memory.cut(true);
    sleep(D * 2).await;
    let answer = cluster.node(0).ask("1", Demand::default()).await.unwrap();
    assert_eq!((answer.via, answer.detached), (Via::L1, true));
}

#[tokio::test(start_paused = true)]
async fn copies_come_from_l1_then_l2_then_the_origin() {
    let cluster = Cluster::of(2).await;
    assert_eq!(cluster.node(0).via("1").await, Via::Origin { stored: true });
    assert_eq!(cluster.node(0).via("1").await, Via::L1);
    assert_eq!(cluster.node(1).via("1").await, Via::L2);
    assert_eq!(cluster.node(1).via("1").await, Via::L1);
    assert_eq!(cluster.origin.loads(), 1);
    assert_eq!(cluster.node(1).cache.stats()["users"].l2_hits, 1);
    cluster.node(1).cache.reset_stats();
    assert_eq!(cluster.node(1).cache.stats()["users"].l2_hits, 0);
}

#[tokio::test(start_paused = true)]
async fn an_absence_is_kept_only_where_that_is_wanted_and_falls_like_a_value() {
    let cluster = Cluster::of(1).await;
    cluster.origin.remove("1");
    for loads in 1..=2 {
        let answer = cluster.node(0).ask("1", Demand::default()).await.unwrap();
        assert_eq!((&answer.entry.content, cluster.origin.loads()), (&Content::Absent, loads));
    }
    let cluster = Cluster::with(1, |it| it.negative_ttl = Duration::from_secs(5)).await;
    cluster.origin.remove("1");
    for _ in 0..2 {
        let answer = cluster.node(0).ask("1", Demand::default()).await.unwrap();
        assert_eq!((&answer.entry.content, cluster.origin.loads()), (&Content::Absent, 1));
    }
    cluster.origin.set("1", 3);
    cluster.node(0).purge("1").await;
    assert_eq!(cluster.node(0).get("1").await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_failing_origin_is_covered_by_a_stale_copy_where_that_is_allowed() {
    let cluster = Cluster::with(2, |it| it.lifetime.stale_if_error = Duration::from_mins(1)).await;
    assert_eq!(cluster.node(0).get("1").await, 0);
    sleep(Duration::from_secs(61)).await;
    *cluster.origin.failing.lock().unwrap() = Some(OriginError::TimedOut);
    for node in &cluster.nodes {
        assert_eq!(node.via("1").await, Via::Stale);
    }
    // what an event hit is not stale, it is wrong
    cluster.node(0).purge("1").await;
    let refused = cluster.node(0).ask("1", Demand::default()).await;
    assert!(matches!(refused, Err(GetError::Origin(OriginError::TimedOut))));
}

#[tokio::test(start_paused = true)]
async fn no_cache_loads_afresh_and_only_if_cached_never_does() {
    let cluster = Cluster::of(2).await;
    let only = || Demand { only_if_cached: true, ..Demand::default() };
    assert!(matches!(cluster.node(0).ask("1", only()).await, Err(GetError::NotCached)));
    assert_eq!(cluster.node(0).get("1").await, 0);
    assert_eq!(cluster.node(1).ask("1", only()).await.unwrap().via, Via::L2);
    cluster.origin.set("1", 1);
    let afresh = Demand { no_cache: true, ..Demand::default() };
    assert_eq!(version(&cluster.node(0).ask("1", afresh).await.unwrap()), 1);
    assert_eq!(cluster.origin.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_each_instance_loads_for_itself_and_old_values_are_kept_out_all_the_same() {
    let cluster = Cluster::with(2, |it| it.lease = Duration::ZERO).await;
    cluster.origin.hold();
    let readers = [cluster.node(0).reading("1"), cluster.node(1).reading("1")];
    cluster.origin.arrived(2).await;
    cluster.origin.set("1", 1);
    cluster.node(0).purge("1").await;
    cluster.origin.open();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 0);
    }
    assert_eq!(cluster.node(0).get("1").await, 1);
    assert_eq!(cluster.node(1).get("1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_read_together() {
    let cluster = Cluster::of(2).await;
    for n in 0..10 {
        cluster.origin.set(&n.to_string(), n);
        cluster.node(0).get(&n.to_string()).await;
    }
    let keys: Vec<Key> = (0..20).map(|n| key(&n.to_string())).collect();
    let answers = cluster.node(1).cache.get_many("users", &keys, &Demand::default()).await;
    for (n, answer) in answers.iter().enumerate() {
        let answer = answer.as_ref().unwrap();
        let expected = if n < 10 { (n as u64, Via::L2) } else { (0, Via::Origin { stored: true }) };
        assert_eq!((version(answer), answer.via), expected, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_max_age_takes_a_young_copy_from_l2_and_no_older_one() {
    let cluster = Cluster::of(2).await;
    assert_eq!(cluster.node(0).get("1").await, 0);
    let young = || Demand { max_age: Some(Duration::from_secs(10)), ..Demand::default() };
    assert_eq!(cluster.node(1).ask("1", young()).await.unwrap().via, Via::L2);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(cluster.node(1).ask("1", young()).await.unwrap().via, Via::Origin { stored: true });
    assert_eq!(cluster.origin.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_origin_is_covered_by_a_stale_copy_without_leases_too() {
    let cluster = Cluster::with(2, |it| {
        it.lease = Duration::ZERO;
        it.lifetime.stale_if_error = Duration::from_mins(1);
    })
    .await;
    assert_eq!(cluster.node(0).get("1").await, 0);
    sleep(Duration::from_secs(61)).await;
    *cluster.origin.failing.lock().unwrap() = Some(OriginError::TimedOut);
    for node in &cluster.nodes {
        assert_eq!(node.via("1").await, Via::Stale);
    }
    cluster.node(0).purge_all("1").await;
    let refused = cluster.node(1).ask("1", Demand::default()).await;
    assert!(matches!(refused, Err(GetError::Origin(OriginError::TimedOut))));
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_refresh_that_fails_gets_the_stale_copy_where_errors_allow_it() {
    let cluster = Cluster::with(1, |it| {
        it.lifetime.stale_while_revalidate = Duration::from_secs(1);
        it.lifetime.stale_if_error = Duration::from_mins(1);
    })
    .await;
    let node = cluster.node(0);
    assert_eq!(node.get("1").await, 0);
    sleep(Duration::from_millis(60_500)).await;
    *cluster.origin.failing.lock().unwrap() = Some(OriginError::TimedOut);
    cluster.origin.hold();
    assert_eq!(node.via("1").await, Via::Stale);
    cluster.origin.arrived(2).await;
    sleep(Duration::from_secs(1)).await;
    let failing = async {
        sleep(Duration::from_millis(10)).await;
        cluster.origin.open();
    };
    let (answer, ()) = tokio::join!(node.ask("1", Demand::default()), failing);
    assert_eq!(answer.unwrap().via, Via::Stale);
    assert_eq!(cluster.origin.loads(), 2, "it joined");
}

#[tokio::test(start_paused = true)]
async fn a_stale_copy_is_refreshed_by_one_load_for_all_instances() {
    let cluster = Cluster::with(2, |it| it.lifetime.stale_while_revalidate = Duration::from_mins(1)).await;
    for node in &cluster.nodes {
        assert_eq!(node.get("1").await, 0);
    }
    sleep(Duration::from_secs(61)).await;
    cluster.origin.set("1", 1);
    for node in &cluster.nodes {
        assert_eq!(node.via("1").await, Via::Stale);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(node.get("1").await, 1);
    }
    assert_eq!(cluster.origin.loads(), 2, "the second instance finds in L2 what the first has loaded");
}

/// Found by the simulation: who had waited for longer than a load may take was told that the origin had timed out, when
/// it had answered everybody in time, with what could not be kept.
#[tokio::test(start_paused = true)]
async fn who_waits_for_loads_that_nobody_can_keep_gets_one_of_its_own() {
    let cluster = Cluster::with(4, |it| it.lifetime.fresh = Duration::from_millis(100)).await;
    cluster.origin.hold();
    let readers: Vec<_> = (0..4).map(|place| cluster.node(place).reading("1")).collect();
    // Each takes longer than its value lasts, and less than a load may take.
    let slowly = async {
        for load in 1..=4 {
            cluster.origin.arrived(load).await;
            sleep(Duration::from_millis(1200)).await;
            cluster.origin.let_go(1);
        }
    };
    let (versions, ()) = tokio::join!(join_all(readers), slowly);
    assert!(versions.into_iter().all(|version| version.unwrap() == 0));
}
