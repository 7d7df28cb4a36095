//! What the monitor says of copies that no working instance would answer: made by hand, for nothing here breaks a promise.

use std::time::Duration;

use super::*;
use crate::backend::Backend as _;
use crate::cache::tests::{Cluster, Node};
use crate::coherence::core::Slots;
use crate::telemetry::labels::CheckResult;

const D: Duration = Duration::from_secs(2);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn space(node: &Node) -> &Arc<Space> {
    &node.cache.reader.spaces["users"]
}

/// The copy of a key from before its last event, which is given too, and when that was logged.
async fn outdated(cluster: &Cluster) -> (Arc<Copy>, Logged, Boot) {
    let node = cluster.node(0);
    assert_eq!(node.get("1").await, 0);
    let copy = space(node).l1.get("1").expect("it was read");
    tokio::time::sleep(D).await;
    cluster.origin.set("1", 1);
    let before = node.cache.reader.now();
    node.purge_all("1").await;
    let logged = node.memory.read_log(Shard(0), 0, 10).await.unwrap().pop().expect("an event");
    (copy, logged, before)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_held_against_the_moment_of_the_first_event_that_it_had_not_seen() {
    let cluster = Cluster::of(1).await;
    let (copy, _, logged) = outdated(&cluster).await;
    let node = cluster.node(0);
    for (arrived, expected) in [
        (logged - Duration::from_secs(1), CheckResult::Ok),
        (logged + Duration::from_millis(100), CheckResult::StaleInBound),
        (logged + D + Duration::from_millis(200), CheckResult::Violation),
    ] {
        let (space, copy) = (Arc::clone(space(node)), Arc::clone(&copy));
        let sighting = Sighting { space, key: key("1"), shard: Shard(0), copy, arrived };
        let (found, _) = node.cache.reader.look_at(&Subject::Answer(sighting), false).await;
        assert_eq!(found, expected, "{arrived:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_an_event_has_named_and_that_would_be_answered_still_is_a_violation() {
    let cluster = Cluster::of(1).await;
    let (copy, logged, _) = outdated(&cluster).await;
    let node = cluster.node(0);
    let event = Subject::Event(Shard(0), Box::new(logged));
    assert_eq!(node.cache.reader.look_at(&event, false).await, (CheckResult::Ok, false), "there is none");
    assert_eq!(node.get("1").await, 1);
    assert_eq!(node.cache.reader.look_at(&event, true).await, (CheckResult::Ok, true));

    // As if the watermarks had missed the event.
    let unnamed = Copy { slots: Slots::of([]), ..(*copy).clone() };
    space(node).l1.remove("1");
    space(node).l1.put("1".into(), Arc::new(unnamed));
    assert_eq!(node.get("1").await, 0, "it is answered");
    assert_eq!(node.cache.reader.look_at(&event, true).await, (CheckResult::Violation, false));
}

#[tokio::test(start_paused = true)]
async fn a_change_at_the_origin_without_an_event_is_a_difference_and_no_violation() {
    let cluster = Cluster::of(1).await;
    let (_, logged, _) = outdated(&cluster).await;
    let node = cluster.node(0);
    assert_eq!(node.get("1").await, 1);
    cluster.origin.set("1", 2);
    let event = Subject::Event(Shard(0), Box::new(logged));
    assert_eq!(node.cache.reader.look_at(&event, true).await, (CheckResult::OriginDiffers, true));
    // Not at the wish of anybody: whether it may be asked is decided before.
    assert_eq!(node.cache.reader.look_at(&event, false).await, (CheckResult::Ok, false));
}
