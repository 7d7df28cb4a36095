//! Every door, with the simplest event: one key or one tag.

use serde_json::json;

use super::{
    CTL, INBOX, by_header, from_memory, hold, hold_tagged, key_event, msgpack, obeyed, three, untouched,
    version,
};
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

/// A way to say that a key, or what carries a tag, is no longer true.
type Door = (&'static str, fn(&str) -> Said);

/// What is said, and to whom.
enum Said {
    Http { method: &'static str, path: String, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    Valkey(Vec<Vec<u8>>),
}

impl Said {
    /// Says it; the id of the event, where the door tells it.
    async fn say(self, instance: &Instance, server: &Server) -> Option<String> {
        match self {
            Self::Http { method, path, headers, body } => {
                let request = instance.request(method, &path).body(body);
                let request =
                    headers.iter().fold(request, |request, (name, value)| request.header(name, value));
                let answer = request.send().await;
                let expected = if method == "PURGE" { 200 } else { 202 };
                assert_eq!(answer.status, expected, "{path}: {answer:?}");
                let id = answer.header("coherd-log-id").expect("a change has an id").to_owned();
                assert_eq!(answer.json()["id"], id);
                Some(id)
            }
            Self::Valkey(words) => {
                let function = words[0] == b"FCALL";
                let reply = server.command(&words).await;
                function.then(|| reply.text())
            }
        }
    }
}

fn post(headers: &[(&'static str, String)], body: Vec<u8>) -> Said {
    Said::Http { method: "POST", path: "/v1/invalidate".to_owned(), headers: headers.to_vec(), body }
}

fn purge(key: &str) -> Said {
    let path = format!("/v1/cache/{NAMESPACE}/{key}");
    Said::Http { method: "PURGE", path, headers: vec![], body: vec![] }
}

fn valkey(words: &[&str]) -> Said {
    Said::Valkey(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

fn packed(tag_or_key: &str) -> Vec<u8> {
    msgpack(&key_event(tag_or_key))
}

/// Those that name a key.
const BY_KEY: [Door; 8] = [
    ("POST of JSON", |key| {
        post(&[("content-type", "application/json".to_owned())], key_event(key).to_string().into_bytes())
    }),
    ("POST of MessagePack", |key| post(&[("content-type", "application/msgpack".to_owned())], packed(key))),
    ("PURGE", purge),
    ("FCALL", |key| valkey(&["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "key", key])),
    ("XADD of fields", |key| valkey(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", key])),
    ("XADD of JSON", |key| valkey(&["XADD", INBOX, "*", "event", &key_event(key).to_string()])),
    ("PUBLISH of JSON", |key| valkey(&["PUBLISH", INBOX, &key_event(key).to_string()])),
    ("PUBLISH of MessagePack", |key| {
        Said::Valkey(vec![b"PUBLISH".to_vec(), INBOX.as_bytes().to_vec(), packed(key)])
    }),
];

/// Those that name a tag.
const BY_TAG: [Door; 7] = [
    ("POST of JSON", |tag| post(&[], json!({ "tags": [tag] }).to_string().into_bytes())),
    ("Surrogate-Key", |tag| post(&[("surrogate-key", format!("unheard-of {tag}"))], vec![])),
    ("Cache-Tag", |tag| post(&[("cache-tag", format!("unheard-of,{tag}"))], vec![])),
    ("Cache-Group-Invalidation", |tag| {
        post(&[("cache-group-invalidation", format!("\"unheard-of\", \"{tag}\""))], vec![])
    }),
    ("FCALL", |tag| valkey(&["FCALL", "coherd_invalidate", "1", CTL, "tag", tag])),
    ("XADD", |tag| valkey(&["XADD", INBOX, "*", "tag", tag])),
    ("PUBLISH", |tag| valkey(&["PUBLISH", INBOX, &json!({ "tags": [tag] }).to_string()])),
];

/// Says it once for every key of `keys`, through one instance after another.
async fn all_obey(cluster: &Cluster, doors: &[Door], tagged: bool) {
    let bystander = hold_tagged(cluster, NAMESPACE, "bystander", "bystanders").await;
    cluster.origin.bump("bystander");
    for (number, (name, door)) in doors.iter().enumerate() {
        let (key, tag) = (format!("key-{number}"), format!("tag-{number}"));
        let held = hold_tagged(cluster, NAMESPACE, &key, &tag).await;
        assert_eq!(cluster.origin.bump(&key), held + 1);
        let through = cluster.instance(number % cluster.nodes.len());
        let id = door(if tagged { &tag } else { &key }).say(through, &cluster.server).await;
        if let Some(id) = id {
            // The door answered: whoever brings the id along reads nothing older, and needs not wait for it.
            for node in &cluster.nodes {
                let read = node.instance.get(NAMESPACE, &key).header("coherd-min-log-id", &id);
                assert_eq!(version(&read.send().await), held + 1, "{name}");
            }
        }
        obeyed(cluster, NAMESPACE, &key).await;
    }
    untouched(cluster, NAMESPACE, "bystander", bystander).await;
}

#[tokio::test]
async fn an_event_for_a_key_by_any_door_is_obeyed_by_all_instances() {
    all_obey(&Cluster::with(three()).await, &BY_KEY, false).await;
}

#[tokio::test]
async fn an_event_for_a_tag_by_any_door_is_obeyed_by_all_instances() {
    all_obey(&Cluster::with(three()).await, &BY_TAG, true).await;
}

#[tokio::test]
async fn a_soft_event_by_any_door_makes_copies_stale_and_they_are_answered_once_more() {
    let cluster = Cluster::with(three().namespace("stale_while_revalidate", "1h")).await;
    let soft = json!({ "namespace": NAMESPACE, "keys": ["2"], "soft": true });
    let fcall = ["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "key", "4", "soft", "1"];
    for key in ["0", "1", "2", "3", "4", "5"] {
        let held = hold_tagged(&cluster, NAMESPACE, key, "soft-tag").await;
        cluster.origin.bump(key);
        let gate = cluster.origin.hold(key);
        let instance = cluster.instance(0);
        match key {
            "0" => drop(instance.purge(NAMESPACE, key).header("fastly-soft-purge", "1").send().await),
            "1" => drop(instance.purge(NAMESPACE, "1?soft=true").send().await),
            "2" => drop(instance.invalidate("", &soft).send().await),
            "3" => drop(
                by_header(instance, "surrogate-key", "soft-tag")
                    .header("fastly-soft-purge", "1")
                    .send()
                    .await,
            ),
            "4" => drop(cluster.server.command(&fcall).await),
            _ => drop(
                cluster.server.command(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", key, "soft", "1"]).await,
            ),
        }
        // All answer at once with what they have, marked as stale, while one of them loads.
        for node in &cluster.nodes {
            eventually(&format!("{} knows that `{key}` is stale", node.instance.id()), SOON, async || {
                let answer = node.instance.get(NAMESPACE, key).send().await;
                assert_eq!(version(&answer), held, "a stale copy is answered while the load goes on");
                !from_memory(&answer)
            })
            .await;
        }
        gate.arrived(1).await;
        gate.release();
        obeyed(&cluster, NAMESPACE, key).await;
    }
}

#[tokio::test]
async fn a_hard_event_leaves_nothing_that_could_be_answered_once_more() {
    let cluster = Cluster::with(three().namespace("stale_while_revalidate", "1h")).await;
    hold(&cluster, NAMESPACE, "k").await;
    let now = cluster.origin.bump("k");
    let answer = cluster.instance(1).invalidate("?wait=all", &key_event("k")).send().await;
    assert_eq!((answer.status, &answer.json()["missing"]), (200, &json!([])));
    for node in &cluster.nodes {
        assert_eq!(version(&node.instance.get(NAMESPACE, "k").send().await), now);
    }
}
