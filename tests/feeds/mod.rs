//! Feeds: what other systems leave where coherd reads it is obeyed by all instances.

mod debezium;
mod postgres;
mod triggers;

use serde_json::Value;

use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

const LOG: &str = "coherd:{main}:log";

/// Instances whose copies go by no time, so that only an event explains a change, with that source.
fn with_source(instances: usize, source: toml::Table) -> Setup {
    Setup::new(instances)
        .namespace("ttl", "1h")
        .set("coherence.max_staleness", "4s")
        .set("sources", vec![toml::Value::Table(source)])
}

/// Gives the key a version, and every instance a copy of it in its own memory that carries the tag.
async fn hold(cluster: &Cluster, key: &str, tag: &str) -> u64 {
    cluster.origin.behave(key, Behaviour::default().header("cache-tag", tag));
    let now = cluster.origin.version(key).unwrap_or_else(|| cluster.origin.bump(key));
    for node in &cluster.nodes {
        eventually(&format!("{} holds `{key}`", node.instance.id()), SOON, async || {
            let answer = node.instance.get(NAMESPACE, key).send().await;
            from_memory(&answer) && version(&answer) == now
        })
        .await;
    }
    now
}

/// Waits until every instance answers with what the origin has now.
async fn obeyed(cluster: &Cluster, key: &str) {
    let now = cluster.origin.version(key).expect("the origin has the key");
    for node in &cluster.nodes {
        eventually(&format!("{} reads `{key}` anew", node.instance.id()), SOON, async || {
            version(&node.instance.get(NAMESPACE, key).send().await) == now
        })
        .await;
    }
}

/// Every instance still answers with its copy of that version.
async fn untouched(cluster: &Cluster, key: &str, held: u64) {
    for node in &cluster.nodes {
        let answer = node.instance.get(NAMESPACE, key).send().await;
        assert!(from_memory(&answer) && version(&answer) == held, "{}: {answer:?}", node.instance.id());
    }
}

fn from_memory(answer: &Response) -> bool {
    answer.header("cache-status").is_some_and(|status| status.contains("hit") && status.contains("detail=l1"))
}

fn version(answer: &Response) -> Value {
    if answer.status == 200 { answer.json()["version"].clone() } else { Value::from(answer.text()) }
}

/// How many events the log has.
async fn logged(server: &Server) -> i64 {
    server.command(&["XLEN", LOG]).await.integer()
}

/// A metric of all instances together.
async fn sum(cluster: &Cluster, series: &str) -> f64 {
    let mut sum = 0.0;
    for node in &cluster.nodes {
        sum += node.instance.metric(series).await.expect("the series is there");
    }
    sum
}

/// Whether `/readyz` says that the source is not reached.
async fn says_away(instance: &Instance, source: &str) -> bool {
    let (status, document) = instance.readyz().await;
    let away = Value::from(format!("source_away: {source}"));
    status == 200 && document["degraded"].as_array().is_some_and(|all| all.contains(&away))
}
