//! The promises, each by the race that would break it.

use super::*;
use crate::cache::flight::Landed;
use crate::cache::load::Purpose;

#[tokio::test(start_paused = true)]
async fn a_fill_that_an_invalidation_overtook_is_stored_nowhere() {
    let cluster = Cluster::of(2).await;
    cluster.origin.hold();
    let reading = cluster.node(0).reading("1");
    cluster.origin.arrived(1).await;
    cluster.origin.set("1", 1);
    cluster.node(1).purge("1").await;
    cluster.origin.open();
    assert_eq!(reading.await.unwrap(), 0, "its load began before the event");
    assert_eq!(cluster.node(0).get("1").await, 1);
    assert_eq!(cluster.node(1).get("1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_only_the_answer_names_keeps_the_overtaken_value_out_too() {
    let cluster = Cluster::of(2).await;
    cluster.origin.tags.lock().unwrap().push(Tag::new("team:7").unwrap());
    cluster.origin.hold();
    let reading = cluster.node(0).reading("1");
    cluster.origin.arrived(1).await;
    cluster.origin.set("1", 1);
    cluster.node(1).publish(Event::hard(vec![Target::Tag(Tag::new("team:7").unwrap())])).await;
    cluster.origin.open();
    assert_eq!(reading.await.unwrap(), 0);
    assert_eq!(cluster.node(0).get("1").await, 1);
    assert_eq!(cluster.node(1).get("1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_joins_an_overtaken_load_starts_over() {
    let cluster = Cluster::of(2).await;
    cluster.settle().await;
    cluster.origin.hold();
    let first = cluster.node(0).reading("1");
    cluster.origin.arrived(1).await;
    cluster.origin.set("1", 1);
    assert_eq!(cluster.node(1).purge_all("1").await, WaitMode::Early);
    let second = cluster.node(0).reading("1");
    // The second sits on the first one's load; it is let go, and only it.
    sleep(Duration::from_millis(10)).await;
    cluster.origin.let_go(1);
    assert_eq!(first.await.unwrap(), 0);
    cluster.origin.open();
    assert_eq!(second.await.unwrap(), 1, "it began after the acknowledgement");
    assert_eq!(cluster.node(0).metrics.coherence.joiner_retries.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_reaches_every_copy_and_early_says_so() {
    let cluster = Cluster::of(3).await;
    cluster.settle().await;
    for node in &cluster.nodes {
        assert_eq!(node.get("1").await, 0);
    }
    cluster.origin.set("1", 1);
    assert_eq!(cluster.node(2).purge_all("1").await, WaitMode::Early);
    for node in &cluster.nodes {
        assert_eq!(node.get("1").await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_cut_off_stops_answering_from_copies_within_max_staleness() {
    let cluster = Cluster::of(2).await;
    cluster.settle().await;
    assert_eq!(cluster.node(1).get("1").await, 0);
    cluster.node(1).memory.cut(true);
    cluster.origin.set("1", 1);
    assert_eq!(cluster.node(0).purge_all("1").await, WaitMode::Late);
    let answer = cluster.node(1).ask("1", Demand::default()).await.unwrap();
    assert_eq!((version(&answer), answer.via, answer.detached), (1, Via::Bypass, true));
    cluster.node(1).memory.cut(false);
    cluster.eventually("it attaches again", || cluster.node(1).coherence.attached()).await;
    assert_eq!(cluster.node(1).get("1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_while_cut_off_is_read_from_the_log() {
    let cluster = Cluster::of(2).await;
    assert_eq!(cluster.node(1).get("1").await, 0);
    assert_eq!(cluster.node(1).get("2").await, 0);
    cluster.node(1).memory.cut(true);
    cluster.origin.set("1", 1);
    cluster.node(0).purge("1").await;
    cluster.node(1).memory.cut(false);
    cluster.eventually("it attaches again", || cluster.node(1).coherence.attached()).await;
    let receipt = cluster.node(0).purge("3").await;
    let reached = cluster.node(1).coherence.reach(crate::model::Shard(0), receipt.id.parts()[0].1).await;
    assert!(reached);
    assert_eq!(cluster.node(1).get("1").await, 1);
    assert_eq!(cluster.node(1).via("2").await, Via::L1, "what was not named is still there");
}

#[tokio::test(start_paused = true)]
async fn an_empty_membership_after_flushall_does_not_make_wait_all_early() {
    let cluster = Cluster::of(2).await;
    cluster.settle().await;
    assert_eq!(cluster.node(1).get("1").await, 0);
    cluster.node(1).memory.cut(true);
    cluster.store.flush_all();
    cluster.origin.set("1", 1);
    cluster.eventually("the publisher attaches anew", || cluster.node(0).coherence.attached()).await;
    let receipt = cluster.node(0).purge("1").await;
    let waited = cluster.node(0).coherence.wait_all(&receipt, None).await;
    assert_eq!(waited.mode, WaitMode::Late);
    assert_eq!(cluster.node(1).get("1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn flushall_empties_every_tier() {
    let cluster = Cluster::of(2).await;
    assert_eq!(cluster.node(0).get("1").await, 0);
    assert_eq!(cluster.node(1).get("1").await, 0);
    cluster.origin.set("1", 1);
    cluster.store.flush_all();
    sleep(D).await;
    assert_eq!(cluster.node(0).get("1").await, 1);
    assert_eq!(cluster.node(1).get("1").await, 1);
    assert_eq!(cluster.node(0).metrics.coherence.resyncs.total(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_names_an_event_gets_nothing_older() {
    let cluster = Cluster::of(2).await;
    assert_eq!(cluster.node(1).get("1").await, 0);
    cluster.node(1).memory.cut(true);
    cluster.origin.set("1", 1);
    let receipt = cluster.node(0).purge("1").await;
    assert_eq!(cluster.node(1).get("1").await, 0, "within the bound, and cut off");
    let since = Demand { min: Some(receipt.id), ..Demand::default() };
    assert_eq!(version(&cluster.node(1).ask("1", since).await.unwrap()), 1);
    let strict = Demand { strict: true, ..Demand::default() };
    assert_eq!(version(&cluster.node(1).ask("1", strict).await.unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_strict_read_that_is_up_to_date_is_answered_from_this_process() {
    let cluster = Cluster::of(1).await;
    assert_eq!(cluster.node(0).get("1").await, 0);
    let strict = Demand { strict: true, ..Demand::default() };
    assert_eq!(cluster.node(0).ask("1", strict).await.unwrap().via, Via::L1);
}

#[tokio::test(start_paused = true)]
async fn a_soft_event_is_answered_stale_once_while_one_load_runs() {
    let cluster = Cluster::with(1, |it| it.lifetime.stale_while_revalidate = Duration::from_mins(1)).await;
    let node = cluster.node(0);
    assert_eq!(node.get("1").await, 0);
    cluster.origin.set("1", 1);
    let soft = Event { hardness: Hardness::Soft, ..Event::hard(vec![Target::Key(ns(), key("1"))]) };
    node.publish(soft).await;
    let answer = node.ask("1", Demand::default()).await.unwrap();
    assert_eq!((version(&answer), answer.via), (0, Via::Stale));
    cluster.eventually("the refresh lands", || cluster.origin.loads() == 2).await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(node.get("1").await, 1);
    assert_eq!(node.via("1").await, Via::L1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_depends_on_another_falls_with_it() {
    let cluster = Cluster::with(1, |it| it.depends_on = vec!["accounts/{key}".to_owned()]).await;
    let node = cluster.node(0);
    assert_eq!(node.get("7").await, 0);
    cluster.origin.set("7", 1);
    let accounts = Namespace::new("accounts").unwrap();
    node.publish(Event::hard(vec![Target::Key(accounts, key("7"))])).await;
    assert_eq!(node.get("7").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stands_still_is_forgotten_and_wait_all_is_early_again() {
    let cluster = Cluster::of(1).await;
    let member =
        crate::backend::Member { instance: "gone~1".to_owned(), cursor: 0, max_staleness: D, beats: 1 };
    let shard = crate::model::Shard(0);
    cluster.node(0).memory.beat(shard, Beat { member, known: 0 }).await.unwrap();
    cluster.settle().await;
    assert_eq!(cluster.node(0).purge_all("1").await, WaitMode::Late);
    sleep(D * 2).await;
    assert_eq!(cluster.node(0).purge_all("1").await, WaitMode::Early);
}

#[tokio::test(start_paused = true)]
async fn a_soft_event_costs_one_load_in_the_whole_cluster() {
    let cluster = Cluster::with(3, |it| it.lifetime.stale_while_revalidate = Duration::from_mins(1)).await;
    for node in &cluster.nodes {
        assert_eq!(node.get("1").await, 0);
    }
    cluster.origin.set("1", 1);
    let soft = Event { hardness: Hardness::Soft, ..Event::hard(vec![Target::Key(ns(), key("1"))]) };
    cluster.node(0).publish(soft).await;
    for node in &cluster.nodes {
        cluster.eventually("it is marked everywhere", || node.coherence.status().lag_events == 0).await;
        assert_eq!(node.via("1").await, Via::Stale);
        sleep(Duration::from_millis(10)).await;
    }
    for node in &cluster.nodes {
        assert_eq!(node.get("1").await, 1);
    }
    assert_eq!(cluster.origin.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_joiner_that_names_an_event_does_not_take_what_was_judged_before_the_event_was_here() {
    let cluster = Cluster::of(1).await;
    let node = cluster.node(0);
    assert_eq!(node.get("1").await, 0);
    let reader = &node.cache.reader;
    let (space, at) = (&reader.spaces["users"], key("1"));
    let copy = space.l1.get("1").unwrap();
    let receipt = node.purge("1").await;
    for (demand, allowed) in [
        (Demand { min: Some(receipt.id), ..Demand::default() }, false),
        (Demand { strict: true, ..Demand::default() }, false),
        (Demand::default(), true),
    ] {
        let read = reader.read(space, &at, &demand);
        let read_began = read.arrived + Duration::from_millis(1);
        let landed = Landed { copy: Arc::clone(&copy), via: Via::L2, read_began };
        assert_eq!(reader.joiner_may_use(&read, Purpose::Miss, &landed), allowed, "{demand:?}");
    }
}

/// A primary that lost its replicas refuses heartbeats and still answers whoever only reads.
#[tokio::test(start_paused = true)]
async fn only_if_cached_asks_nobody_while_the_instance_is_cut_off_from_the_log() {
    let cluster = Cluster::of(2).await;
    assert_eq!(cluster.node(0).get("1").await, 0);
    cluster.node(1).memory.deafen(true);
    cluster.node(0).purge("2").await;
    sleep(D * 2).await;
    assert!(!cluster.node(1).coherence.attached());
    let only = Demand { only_if_cached: true, ..Demand::default() };
    assert!(matches!(cluster.node(1).ask("1", only).await, Err(GetError::NotCached)));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_behind_says_by_how_much() {
    let cluster = Cluster::of(2).await;
    cluster.node(1).memory.deafen(true);
    cluster.node(0).purge("1").await;
    cluster.node(0).purge("2").await;
    sleep(Duration::from_millis(600)).await;
    assert_eq!(cluster.node(1).coherence.status().lag_events, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_heard_after_a_reconnect_is_logged_although_its_like_was_logged_before() {
    let cluster = Cluster::of(2).await;
    let message = || bytes::Bytes::from_static(br#"{"namespace": "users", "keys": ["1"]}"#);
    let cursor = |node: usize| cluster.node(node).coherence.status().cursor.parts()[0].1;
    let start = cursor(0);
    cluster.node(1).memory.cut(true);
    cluster.store.inbox_publish(message());
    cluster.eventually("the first is logged", || cursor(0) == start + 1).await;
    cluster.node(0).memory.cut(true);
    cluster.node(1).memory.cut(false);
    cluster.eventually("the other has read it", || cursor(1) == start + 1).await;
    sleep(Duration::from_millis(50)).await;
    cluster.store.inbox_publish(message());
    cluster.eventually("the second is logged", || cursor(1) == start + 2).await;
}
