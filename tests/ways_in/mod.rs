//! The ways in: whatever an event comes by, all instances obey it.

mod cloudevents;
mod commands;
mod doors;
mod inbox;
mod malformed;
mod repeats;
mod tail;
mod targets;

use serde_json::Value;

use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

const CTL: &str = "coherd:{main}:ctl";
const INBOX: &str = "coherd:{main}:inbox";
const LOG: &str = "coherd:{main}:log";

/// Three instances whose copies go by no time, so that only an event explains a change.
fn three() -> Setup {
    Setup::new(3).namespace("ttl", "1h").set("coherence.max_staleness", "4s")
}

/// Whether a copy in the instance's own memory answered.
fn from_memory(answer: &Response) -> bool {
    answer.header("cache-status").is_some_and(|status| status.contains("hit") && status.contains("detail=l1"))
}

/// The version in an answer, or what else it said.
fn version(answer: &Response) -> Value {
    if answer.status == 200 { answer.json()["version"].clone() } else { Value::from(answer.text()) }
}

/// Gives the key a version and every instance a copy of it in its own memory.
async fn hold(cluster: &Cluster, namespace: &str, key: &str) -> u64 {
    let now = cluster.origin.version(key).unwrap_or_else(|| cluster.origin.bump(key));
    for node in &cluster.nodes {
        eventually(&format!("{} holds `{key}`", node.instance.id()), SOON, async || {
            let answer = node.instance.get(namespace, key).send().await;
            from_memory(&answer) && version(&answer) == now
        })
        .await;
    }
    now
}

/// As [`hold`], with a tag on the value.
async fn hold_tagged(cluster: &Cluster, namespace: &str, key: &str, tag: &str) -> u64 {
    cluster.origin.behave(key, Behaviour::default().header("cache-tag", tag));
    hold(cluster, namespace, key).await
}

/// Waits until every instance answers with what the origin has now.
async fn obeyed(cluster: &Cluster, namespace: &str, key: &str) {
    let now = cluster.origin.version(key).expect("the origin has the key");
    for node in &cluster.nodes {
        eventually(&format!("{} reads `{key}` anew", node.instance.id()), SOON, async || {
            version(&node.instance.get(namespace, key).send().await) == now
        })
        .await;
    }
}

/// Every instance still answers with its copy of that version.
async fn untouched(cluster: &Cluster, namespace: &str, key: &str, held: u64) {
    for node in &cluster.nodes {
        let answer = node.instance.get(namespace, key).send().await;
        assert!(from_memory(&answer) && version(&answer) == held, "{}: {answer:?}", node.instance.id());
    }
}

/// How many events the log has.
async fn logged(server: &Server) -> i64 {
    server.command(&["XLEN", LOG]).await.integer()
}

/// The last event's id.
async fn head(server: &Server) -> String {
    let last = server.command(&["XREVRANGE", LOG, "+", "-", "COUNT", "1"]).await;
    last.items().first().map_or_else(String::new, |entry| entry.items()[0].text())
}

/// The events that instances dropped for that reason, all instances together.
async fn rejected(cluster: &Cluster, reason: &str) -> u64 {
    let series = format!("coherd_events_rejected_total{{reason=\"{reason}\"}} ");
    let mut sum = 0;
    for node in &cluster.nodes {
        let page = node.instance.metrics().await;
        let value = page.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok());
        sum += value.expect("the series is there from the start");
    }
    sum
}

/// Waits until every instance has dealt with the messages of the inbox channel that were sent so far.
async fn channel_is_read(cluster: &Cluster) {
    // Each instance takes messages one after another, and drops one that is malformed by itself.
    let before = rejected(cluster, "malformed").await;
    cluster.server.command(&["PUBLISH", INBOX, "{"]).await;
    let all = before + cluster.nodes.len() as u64;
    eventually("all have read the channel", SOON, async || rejected(cluster, "malformed").await == all).await;
}

/// Waits until nothing is left in the inbox stream, neither waiting nor taken and not finished.
async fn inbox_is_empty(server: &Server) {
    eventually("the inbox is empty", SOON, async || {
        server.command(&["XLEN", INBOX]).await.integer() == 0
            && server.command(&["XPENDING", INBOX, "coherd"]).await.items()[0].integer() == 0
    })
    .await;
}

/// The event for one key of [`NAMESPACE`].
fn key_event(key: &str) -> Value {
    serde_json::json!({ "namespace": NAMESPACE, "keys": [key] })
}

/// An event, or anything else, as MessagePack.
fn msgpack(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("JSON fits MessagePack")
}

/// `POST /v1/invalidate` with those headers and no body.
fn by_header(instance: &Instance, name: &str, value: &str) -> crate::harness::http::Request {
    instance.request("POST", "/v1/invalidate").header(name, value)
}
