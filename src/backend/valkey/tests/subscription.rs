//! Messages and their end.

use super::*;
use crate::backend::valkey::socket::FRAME_BYTES_MAX;
use crate::backend::{Signal, Subscription};

async fn next(subscription: &mut Box<dyn Subscription>) -> Option<Signal> {
    timeout(LONG, subscription.next()).await.expect("a signal in time")
}

#[tokio::test]
async fn an_event_is_announced_as_it_is_logged() {
    let it = Fixture::start().await;
    let start = it.backend.head(S0).await.unwrap();
    let mut subscription = it.backend.subscribe().await.unwrap();
    let mut publication = soft(vec![key_target("ü\0"), Target::All, prefix("eu/")]);
    publication.confirm = true;
    publication.event.provenance.source = "test".to_owned();
    it.backend.publish(S0, publication).await.unwrap();
    it.server.admin("FCALL", &["coherd_invalidate", "1", "coherd:{main}:ctl", "tag", "t"]).await;
    let logged = it.backend.read_log(S0, start.seq, 10).await.unwrap();
    assert_eq!(logged.len(), 2);
    for logged in logged {
        let lineage = start.lineage.clone();
        assert_eq!(next(&mut subscription).await, Some(Signal::Event { shard: S0, lineage, logged }));
    }
}

#[tokio::test]
async fn the_end_of_a_lease_that_somebody_waits_for_is_told() {
    let it = Fixture::start().await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    let wake = |text, filled| Some(Signal::Wake { namespace: ns(), key: key(text), filled });
    // nobody waits: nothing to tell
    it.stored("quiet", "a").await;

    let token = it.lease("1", "a").await;
    it.lookup("1", "b").await;
    it.fill("1", "a", token).await;
    assert_eq!(next(&mut subscription).await, wake("1", true));

    it.lease("2", "a").await;
    it.lookup("2", "b").await;
    // the mark survives a repeated claim
    it.lease("2", "a").await;
    it.backend.release(&entry("2"), &load("a")).await.unwrap();
    assert_eq!(next(&mut subscription).await, wake("2", false));

    it.lease("3", "a").await;
    it.lookup("3", "b").await;
    it.publish(vec![key_target("3")]).await;
    assert_eq!(next(&mut subscription).await, wake("3", false));
}

#[tokio::test]
async fn confirmations_and_foreign_messages_come_through() {
    let it = Fixture::start_with(|settings| settings.shards = ShardCount::new(2)).await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    it.backend.confirm(Shard(1), "i", 42).await.unwrap();
    let confirmed = Signal::Confirmed { shard: Shard(1), instance: "i".to_owned(), cursor: 42 };
    assert_eq!(next(&mut subscription).await, Some(confirmed));
    for payload in ["{\"tags\": [\"t\"]}", ""] {
        it.admin("PUBLISH", &["coherd:{main}:inbox", payload]).await;
        assert_eq!(next(&mut subscription).await, Some(Signal::Inbox(Bytes::from(payload))));
    }
    it.admin("PUBLISH", &["coherd:{main}:events", "nonsense"]).await;
    assert_eq!(next(&mut subscription).await, Some(Signal::Lost));
    it.admin("PUBLISH", &["coherd:{main.1}:signals", "nonsense"]).await;
    assert_eq!(next(&mut subscription).await, Some(Signal::Lost));
}

/// Messages of the inbox, numbered, more of them than anything holds beside the server, in few round trips.
async fn flood(it: &Fixture) {
    let flood = "for i = 1, 10000 do redis.call('PUBLISH', 'coherd:{main}:inbox', ARGV[1] * 10000 + i) end";
    for round in ["0", "1", "2"] {
        it.admin("EVAL", &[flood, "0", round]).await;
    }
}

#[tokio::test]
async fn who_falls_behind_misses_nothing() {
    let it = Fixture::start().await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    flood(&it).await;
    for number in 1..=30_000 {
        assert_eq!(next(&mut subscription).await, Some(Signal::Inbox(Bytes::from(number.to_string()))));
    }
    assert!(subscription.ready().is_none());
}

#[tokio::test]
async fn who_falls_behind_by_more_than_the_server_keeps_is_told() {
    let it = Fixture::start().await;
    it.admin("CONFIG", &["SET", "client-output-buffer-limit", "pubsub 65536 0 0"]).await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    flood(&it).await;
    for number in 1.. {
        match next(&mut subscription).await {
            Some(Signal::Inbox(heard)) => assert_eq!(heard, number.to_string(), "nothing is left out"),
            None => break,
            other => panic!("{other:?}"),
        }
    }
    let mut subscription = it.backend.subscribe().await.unwrap();
    it.admin("PUBLISH", &["coherd:{main}:inbox", "x"]).await;
    assert_eq!(next(&mut subscription).await, Some(Signal::Inbox(Bytes::from("x"))));
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_and_holds_up_no_other() {
    let it = Fixture::start().await;
    it.admin("CONFIG", &["SET", "client-output-buffer-limit", "pubsub 0 0 0"]).await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    for bytes in [FRAME_BYTES_MAX, FRAME_BYTES_MAX / 2] {
        let large = "redis.call('PUBLISH', 'coherd:{main}:inbox', string.rep('x', ARGV[1]))";
        it.admin("EVAL", &[large, "0", &bytes.to_string()]).await;
    }
    it.admin("PUBLISH", &["coherd:{main}:inbox", "small"]).await;
    assert_eq!(next(&mut subscription).await, Some(Signal::Oversized));
    let Some(Signal::Inbox(large)) = next(&mut subscription).await else { panic!("it is to be heard") };
    assert_eq!(large.len(), FRAME_BYTES_MAX / 2);
    assert_eq!(next(&mut subscription).await, Some(Signal::Inbox(Bytes::from("small"))));
}

#[tokio::test]
async fn a_killed_connection_ends_it() {
    let it = Fixture::start().await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    it.admin("CLIENT", &["KILL", "TYPE", "pubsub"]).await;
    assert_eq!(next(&mut subscription).await, None);
    assert_eq!(next(&mut subscription).await, None);
    assert_eq!(it.generation().await, 1, "data goes on");
    it.backend.subscribe().await.unwrap();
}

#[tokio::test]
async fn a_stalled_server_ends_it_too() {
    let it = Fixture::start_with(|settings| settings.command_timeout = Duration::from_millis(300)).await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    it.server.freeze();
    assert_eq!(next(&mut subscription).await, None);
    it.server.resume();
}

#[tokio::test]
async fn a_quiet_subscription_lives_on_though_its_waits_are_dropped() {
    let it = Fixture::start().await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    for _ in 0..60 {
        assert!(timeout(Duration::from_millis(40), subscription.next()).await.is_err(), "nothing happened");
    }
    it.admin("PUBLISH", &["coherd:{main}:inbox", "x"]).await;
    assert_eq!(next(&mut subscription).await, Some(Signal::Inbox(Bytes::from("x"))));
}

#[tokio::test]
async fn distrust_ends_it() {
    let it = Fixture::start().await;
    let mut subscription = it.backend.subscribe().await.unwrap();
    it.backend.distrust(S0, "a test");
    assert_eq!(next(&mut subscription).await, None);
}

#[tokio::test]
async fn a_server_that_denies_the_channels_is_an_error() {
    let it = Fixture::start().await;
    it.admin("ACL", &["SETUSER", "mute", "on", "nopass", "+@all", "~*", "resetchannels"]).await;
    let mut mute = settings(&it.server);
    (mute.username, mute.password) = (Some("mute".to_owned()), Some("x".to_owned()));
    let (backend, _task) = connected(mute).await;
    assert!(backend.subscribe().await.is_err());
    // what cannot be announced is logged all the same
    backend.publish(S0, publication(vec![key_target("1")])).await.unwrap();
}
