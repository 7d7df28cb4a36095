//! A log that is announced to nobody, trimmed, spoilt by others or deleted; scripts and functions that are gone.

use tokio::time::Instant;

use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};
use crate::promises::steps::{
    COPY, D, LONG, Race, all_attached, attached, bounded, converges, key_event, nothing_older, passed, read,
    setup, warm,
};

const LOG: &str = "coherd:{main}:log";
const CTL: &str = "coherd:{main}:ctl";

/// Targets of a kind that the instance has read from the log itself.
async fn from_the_log(at: &Instance, kind: &str) -> Option<f64> {
    let series = format!("coherd_invalidations_applied_total{{kind=\"{kind}\",path=\"stream\"}}");
    at.metric(&series).await
}

async fn gaps(at: &Instance, cause: &str) -> f64 {
    at.metric(&format!("coherd_gaps_total{{cause=\"{cause}\"}}")).await.expect("gaps are counted")
}

#[tokio::test]
async fn an_event_announced_to_nobody_is_read_from_the_log() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    race.commit();
    let mut client = race.cluster.server.connect().await;
    // In one transaction: no subscriber can be back before the event is announced.
    let fcall = Race::fcall();
    let words: [&[&str]; 4] = [&["MULTI"], &["CLIENT", "KILL", "TYPE", "pubsub"], &fcall, &["EXEC"]];
    let mut answer = None;
    for words in words {
        answer = Some(client.command(words).await.expect("the server answers"));
    }
    let logged = Instant::now();
    let answer = answer.expect("four commands were sent");
    assert!(3 <= answer.items()[0].integer(), "there were subscribers to be killed: {answer:?}");
    bounded(race.victim(), COPY, 2, logged).await;
    race.release().await;
    race.nothing_older().await;
    for node in &race.cluster.nodes {
        assert_eq!(from_the_log(&node.instance, "tag").await, Some(1.0));
    }
    race.converges().await;
}

/// Publishes as a user who may not use channels: the event is logged, and the announcement refused.
async fn publish_silently(race: &Race) {
    race.commit();
    let mut client = race.cluster.server.connect().await;
    let user = ["ACL", "SETUSER", "mute", "on", ">mute", "~*", "+@all", "resetchannels"];
    let fcall = Race::fcall();
    let words: [&[&str]; 3] = [&user, &["AUTH", "mute", "mute"], &fcall];
    for words in words {
        let answer = client.command(words).await.expect("the server answers");
        assert!(matches!(answer, Reply::Text(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn an_event_that_is_not_announced_is_found_by_the_next_heartbeat() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    publish_silently(&race).await;
    let logged = Instant::now();
    bounded(race.victim(), COPY, 2, logged).await;
    race.release().await;
    race.nothing_older().await;
    for node in &race.cluster.nodes {
        assert!(1.0 <= gaps(&node.instance, "heartbeat").await);
        assert_eq!(from_the_log(&node.instance, "tag").await, Some(1.0));
    }
    race.converges().await;
}

#[tokio::test]
async fn an_event_that_is_not_announced_is_found_by_the_one_after_it() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    publish_silently(&race).await;
    // Of another key, and so of nothing that is looked at here.
    let answer = race.cluster.instance(0).invalidate("?wait=all", &key_event("unrelated")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn without_channels_events_are_found_by_heartbeat() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    let all = ["ACL", "SETUSER", "default", "resetchannels"];
    assert_eq!(race.cluster.server.command(&all).await.text(), "OK");
    for _ in 0..2 {
        let (logged, _) = race.publish("").await;
        let latest = race.cluster.origin.version(COPY).expect("the origin has it");
        bounded(race.victim(), COPY, latest, logged).await;
    }
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn subscribers_that_are_killed_again_and_again_miss_nothing() {
    let cluster = Cluster::with(setup(D)).await;
    for version in 1..=6 {
        cluster.origin.set("k", version);
        let kill = cluster.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let event = key_event("k");
        let publish = cluster.instance(0).invalidate("?wait=all", &event).send();
        let (_, answer) = tokio::join!(kill, publish);
        assert_eq!(answer.status, 200, "{answer:?}");
        nothing_older(&cluster, &["k"]).await;
    }
    converges(&cluster, &["k"]).await;
}

#[tokio::test]
async fn subscribers_whose_buffers_overflow_miss_nothing() {
    let cluster = Cluster::with(setup(D)).await;
    let limit = ["CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 0 0"];
    assert_eq!(cluster.server.command(&limit).await.text(), "OK");
    cluster.origin.set("k", 1);
    warm(&cluster, "k").await;
    cluster.origin.set("k", 2);
    // In one transaction: nothing is sent to a subscriber before all of it is in its buffer.
    let mut client = cluster.server.connect().await;
    let mut answer = client.command(&["MULTI"]).await;
    for number in 0..20 {
        let long: Vec<String> = (0..20).map(|part| format!("{number}-{part:0>400}")).collect();
        let keys = long.iter().map(String::as_str).chain(["k"]).flat_map(|key| ["key", key]);
        let start = ["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE];
        answer = client.command(&start.into_iter().chain(keys).collect::<Vec<_>>()).await;
    }
    assert_eq!(answer.expect("the server answers").text(), "QUEUED");
    let logged = client.command(&["EXEC"]).await.expect("the server answers");
    assert!(logged.items().iter().all(|id| matches!(id, Reply::Text(_))), "{logged:?}");
    let logged = Instant::now();
    bounded(cluster.instance(1), "k", 2, logged).await;
    nothing_older(&cluster, &["k"]).await;
    converges(&cluster, &["k"]).await;
    for node in &cluster.nodes {
        assert_eq!(
            from_the_log(&node.instance, "key").await,
            Some(420.0),
            "the server has dropped its subscribers"
        );
    }
}

#[tokio::test]
async fn a_log_trimmed_past_an_instance_costs_it_nothing_but_questions() {
    let cluster = Cluster::with(setup(LONG)).await;
    for key in [COPY, "kept"] {
        cluster.origin.set(key, 1);
        warm(&cluster, key).await;
    }
    cluster.wire(2).cut().await;
    cluster.origin.set(COPY, 2);
    for key in [COPY, "a", "b"] {
        assert_eq!(cluster.instance(0).purge(NAMESPACE, key).send().await.status, 200);
    }
    let logged = Instant::now();
    assert_eq!(cluster.server.command(&["XTRIM", LOG, "MAXLEN", "0"]).await.integer(), 3);
    cluster.wire(2).restore().await;
    let trimmed = async || gaps(cluster.instance(2), "trimmed").await;
    eventually("it notices that the log was trimmed", SOON, async || 1.0 <= trimmed().await).await;
    assert!(logged.elapsed() < LONG, "the copies were to be trusted all the while");
    eventually("it skips to the head", SOON, async || {
        let log = &cluster.instance(2).admin("/stats").await["log"];
        log["cursor"] == log["head"] && log["lag_events"] == 0
    })
    .await;
    attached(cluster.instance(2), true).await;
    nothing_older(&cluster, &[COPY, "kept"]).await;
    assert_eq!(cluster.origin.reads("kept"), 1, "what was not invalidated is not loaded again");
    converges(&cluster, &[COPY, "kept"]).await;
}

#[tokio::test]
async fn a_log_trimmed_while_loads_are_held_lets_none_of_them_through() {
    let mut race = Race::set(Cluster::with(setup(D)).await, 2).await;
    race.cluster.wire(2).cut().await;
    let (logged, _) = race.publish("").await;
    race.cluster.server.command(&["XTRIM", LOG, "MAXLEN", "0"]).await;
    race.cluster.wire(2).restore().await;
    bounded(race.victim(), COPY, 2, logged).await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
}

/// Spoils what only coherd's scripts write, then publishes.
async fn survives(spoil: &[&str]) {
    let mut race = Race::set(Cluster::with(setup(D)).await, 1).await;
    race.cluster.server.command(spoil).await;
    let (logged, _) = race.publish("").await;
    bounded(race.victim(), COPY, 2, logged).await;
    race.release().await;
    race.nothing_older().await;
    race.converges().await;
    // And it goes on.
    let (_, answer) = race.publish("?wait=all").await;
    assert!(answer["mode"].is_string(), "{answer:?}");
    race.nothing_older().await;
    race.converges().await;
}

#[tokio::test]
async fn without_its_control_record_it_begins_anew() {
    survives(&["DEL", CTL]).await;
}

#[tokio::test]
async fn without_its_log_it_goes_on() {
    survives(&["DEL", LOG]).await;
}

#[tokio::test]
async fn a_foreign_entry_that_blocks_the_log_is_no_obstacle() {
    survives(&["XADD", LOG, "9223372036854775807-1", "by", "somebody"]).await;
}

#[tokio::test]
async fn a_foreign_entry_in_between_is_no_obstacle() {
    survives(&["XADD", LOG, "*", "by", "somebody"]).await;
}

#[tokio::test]
async fn a_log_of_another_type_is_no_obstacle() {
    survives(&["SET", LOG, "by somebody"]).await;
}

#[tokio::test]
async fn a_control_record_of_another_type_is_no_obstacle() {
    survives(&["SET", CTL, "by somebody"]).await;
}

#[tokio::test]
async fn ten_thousand_events_while_it_is_paused_hide_none() {
    let cluster = Cluster::with(setup(D)).await;
    cluster.origin.set(COPY, 1);
    warm(&cluster, COPY).await;
    cluster.instance(2).pause();
    let storm = (0..4).map(async |_| {
        let mut client = cluster.server.connect().await;
        let ns = ["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "key"];
        for number in 0..2500 {
            let key = number.to_string();
            let words: Vec<&str> = ns.into_iter().chain([key.as_str()]).collect();
            client.command(&words).await.expect("the server answers");
        }
    });
    futures_util::future::join_all(storm).await;
    cluster.origin.set(COPY, 2);
    assert_eq!(cluster.instance(0).purge(NAMESPACE, COPY).send().await.status, 200);
    let logged = Instant::now();
    passed(D, logged).await;
    cluster.instance(2).resume();
    assert_eq!(read(cluster.instance(2), COPY).await, 2);
    nothing_older(&cluster, &[COPY]).await;
    all_attached(&cluster).await;
    converges(&cluster, &[COPY]).await;
}
