//! Events, reads, writes, locks and the inbox over several shards.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fleet::{Fleet, Servers, parts, version};
use crate::harness::instance::NAMESPACE;
use crate::harness::origin::{Behaviour, Effect, Gate};
use crate::harness::wait::{SOON, eventually};

/// One event for each kind of target, and how many of the keys it hits.
async fn an_event_reaches_every_shard(servers: Servers) {
    let shards = usize::from(servers.shards());
    let fleet = Fleet::over(servers, &[]).await;
    fleet.origin.behave_always(Behaviour::default().header("cache-tag", "team:7"));
    let events = [
        json!({ "tags": ["team:7"] }),
        json!({ "namespace": NAMESPACE, "prefixes": ["eu/"] }),
        json!({ "namespace": NAMESPACE, "all": true }),
        json!({ "all": true }),
    ];
    for (before, event) in (1..).zip(events) {
        let of_prefix = event["prefixes"].is_array();
        fleet.set(before);
        fleet.publish(0, &json!({ "all": true })).await;
        fleet.warm(before).await;
        fleet.set(before + 1);
        let answer = fleet.publish(usize::try_from(before % 3).expect("small"), &event).await;
        assert_eq!(parts(&answer["id"]), shards, "{answer}");
        for key in Fleet::keys() {
            let now = if of_prefix && key.starts_with("us/") { before } else { before + 1 };
            assert_eq!(fleet.versions(&key).await, [now; 3], "{key} after {event}");
        }
    }
}

/// Keys of several shards in one event, and in one request.
async fn keys_of_several_shards_go_together(servers: Servers) {
    let shards = usize::from(servers.shards());
    let fleet = Fleet::over(servers, &[]).await;
    fleet.set(1);
    fleet.warm(1).await;
    fleet.set(2);
    let keys = Fleet::keys();
    let (some, others) = keys.split_at(keys.len() / 2);
    let answer = fleet.publish(1, &json!({ "namespace": NAMESPACE, "keys": some })).await;
    assert!((2..=shards).contains(&parts(&answer["id"])), "{answer}");
    for at in &fleet.instances {
        let list = json!({ "keys": keys });
        let answer = at.request("POST", &format!("/v1/cache/{NAMESPACE}"));
        let answer = answer.header("content-type", "application/json").body(list.to_string()).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        for (keys, version) in [(some, 2), (others, 1)] {
            for key in keys {
                assert_eq!(answer[key]["value"]["version"], version, "{key}");
            }
        }
    }
}

/// A publisher reads its own event, by its id and by asking for the newest.
async fn own_events_are_read(servers: Servers) {
    let fleet = Fleet::over(servers, &[]).await;
    fleet.set(1);
    fleet.warm(1).await;
    for (round, key) in (2..).zip(Fleet::keys()) {
        fleet.origin.set(&key, round);
        let event = json!({ "namespace": NAMESPACE, "keys": [key], "tags": ["nobody"] });
        let published = fleet.instances[0].invalidate("", &event).send().await;
        assert_eq!(published.status, 202, "{published:?}");
        let id = published.header("coherd-log-id").expect("an id");
        let read = fleet.instances[1].get(NAMESPACE, &key).header("coherd-min-log-id", id).send().await;
        assert_eq!(version(&read), round, "{key} at {id}");
        let read =
            fleet.instances[2].get(NAMESPACE, &key).header("coherd-consistency", "strict").send().await;
        assert_eq!(version(&read), round, "{key}, strictly");
    }
}

/// Writes behind of all shards are answered by all, reach the origin, and die where they must.
async fn writes_behind_of_all_shards_reach_the_origin(servers: Servers) {
    let fleet = Fleet::over(servers, &[("write", "behind")]).await;
    let keys = Fleet::keys();
    let gates: Vec<_> = keys.iter().map(|key| fleet.origin.hold_writes(key)).collect();
    for (key, at) in keys.iter().zip(fleet.instances.iter().cycle()) {
        let answer = at.put(NAMESPACE, key, &format!("\"{key}\"")).send().await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    for (key, at) in keys.iter().zip(fleet.instances.iter().cycle().skip(1)) {
        let answer = at.get(NAMESPACE, key).header("coherd-consistency", "strict").send().await;
        assert_eq!((answer.status, answer.text()), (200, format!("\"{key}\"")));
    }
    let pending = fleet.instances[0].admin("/v1/writes/pending?limit=1000").await;
    let pending = pending["pending"].as_array().expect("a list").clone();
    let of: BTreeSet<&str> = pending.iter().filter_map(|write| write["key"].as_str()).collect();
    assert_eq!(of.len(), keys.len(), "{pending:?}");
    gates.iter().for_each(Gate::release);
    for key in &keys {
        eventually(&format!("the origin has {key}"), SOON, async || {
            fleet.origin.writes(key).iter().any(|write| write.effect == Effect::Applied)
        })
        .await;
    }
    eventually("nothing is pending", SOON, async || {
        fleet.instances[2].admin("/v1/writes/pending").await["pending"] == json!([])
    })
    .await;
}

/// What other systems leave in the inbox concerns keys of all shards.
async fn the_inbox_concerns_all_shards(servers: Servers) {
    const INBOX: &str = "coherd:{main}:inbox";
    let fleet = Fleet::over(servers, &[]).await;
    fleet.set(1);
    fleet.warm(1).await;
    let changed = async |version: u64| {
        for key in Fleet::keys() {
            eventually(&format!("{key} has version {version}"), SOON, async || {
                fleet.versions(&key).await == [version; 3]
            })
            .await;
        }
    };
    fleet.set(2);
    fleet
        .servers
        .command(INBOX, &["XADD", INBOX, "*", "ns", NAMESPACE, "prefix", "eu/", "prefix", "us/"])
        .await;
    changed(2).await;
    fleet.set(3);
    let message = json!({ "namespace": NAMESPACE, "all": true }).to_string();
    fleet.servers.command(INBOX, &["PUBLISH", INBOX, &message]).await;
    changed(3).await;
    // The same once more is another event.
    fleet.set(4);
    fleet.servers.command(INBOX, &["PUBLISH", INBOX, &message]).await;
    changed(4).await;
}

/// Locks of all shards have one holder, whom others wait for.
async fn locks_of_all_shards_have_one_holder(servers: Servers) {
    let fleet = Fleet::over(servers, &[]).await;
    for number in 0..20 {
        let lock = |at: usize, query: &str| {
            fleet.instances[at].request("POST", &format!("/v1/locks/job-{number}{query}"))
        };
        let held = lock(0, "?ttl=60s").send().await;
        assert_eq!(held.status, 200, "{held:?}");
        assert_eq!(lock(1, "?ttl=60s").send().await.status, 409);
        let token = held.json()["token"].as_str().expect("a token").to_owned();
        let release = fleet.instances[2].request("DELETE", &format!("/v1/locks/job-{number}"));
        let (waited, released) =
            tokio::join!(lock(1, "?ttl=60s&wait=10s").send(), release.header("coherd-lock", &token).send());
        assert!((200..300).contains(&released.status), "{released:?}");
        let fence = |answer: &Value| answer["fence"].as_u64().expect("a fence");
        assert_eq!(waited.status, 200, "{waited:?}");
        assert!(fence(&held.json()) < fence(&waited.json()));
    }
}

macro_rules! on_each {
    ($($case:ident)*) => {
        mod on_one_server {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::Servers::one().await).await;
            })*
        }

        mod on_a_cluster {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::Servers::ring().await).await;
            })*
        }
    };
}

on_each! {
    an_event_reaches_every_shard
    keys_of_several_shards_go_together
    own_events_are_read
    writes_behind_of_all_shards_reach_the_origin
    the_inbox_concerns_all_shards
    locks_of_all_shards_have_one_holder
}
