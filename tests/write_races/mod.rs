//! Races of writes that are forced: the origin holds a write before its effect, or its answer behind it, while something
//! else happens.

mod behind;
mod through;

use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::Effect;
use crate::harness::wait::{SOON, eventually};

/// The key that is raced for.
const KEY: &str = "k";

/// As many as there are by default.
const PARTITIONS: usize = 8;

/// So many instances that write so.
fn setup(instances: usize, write: &str) -> Setup {
    Setup::new(instances)
        .namespace("write", write)
        // Every failure here is one of the test's own.
        .namespace("origin.breaker.failures", 1_000)
        .set("write_behind.takeover", "500ms")
        .set("write_behind.retry.initial", "20ms")
        .set("write_behind.retry.max", "100ms")
        .set("write_behind.retry.attempts", 1_000)
}

/// `PUT` of a value that is answered with that status.
async fn put(at: &Instance, value: &str, status: u16) {
    let answer = at.put(NAMESPACE, KEY, value).send().await;
    assert_eq!(answer.status, status, "{}", answer.text());
}

/// What the instance answers with; `None`: that there is nothing.
async fn get(at: &Instance) -> Option<String> {
    let answer = at.get(NAMESPACE, KEY).header("coherd-consistency", "strict").send().await;
    match answer.status {
        200 => Some(answer.text()),
        404 => None,
        status => panic!("{status}: {}", answer.text()),
    }
}

/// Every instance that runs answers with that value.
async fn everywhere(cluster: &Cluster, value: &str) {
    for node in &cluster.nodes {
        assert_eq!(get(&node.instance).await.as_deref(), Some(value), "{}", node.instance.id());
    }
}

/// Waits until nothing is pending, as the server has it: what instances say of it is of a moment ago.
async fn drained(cluster: &Cluster) {
    let stream = |partition: usize| format!("coherd:{{main}}:w:{partition}");
    eventually("nothing is pending", SOON, async || {
        let mut lines = 0;
        for partition in 0..PARTITIONS {
            lines += cluster.server.command(&["XLEN", &stream(partition)]).await.integer();
        }
        lines == 0
    })
    .await;
}

/// What was written to the key at the origin, and what became of that.
fn effects(cluster: &Cluster) -> Vec<(String, Effect)> {
    let writes = cluster.origin.writes(KEY).into_iter();
    let body = |body: Option<bytes::Bytes>| body.map(|body| String::from_utf8_lossy(&body).into_owned());
    writes.map(|write| (body(write.body).unwrap_or_default(), write.effect)).collect()
}

/// Waits until the write of that value had that effect.
async fn had(cluster: &Cluster, value: &str, effect: Effect) {
    eventually(&format!("{value} is {effect:?}"), SOON, async || {
        effects(cluster).contains(&(value.to_owned(), effect))
    })
    .await;
}

/// What the origin has.
async fn at_origin(cluster: &Cluster) -> String {
    let url = cluster.origin.url().replace("{key}", KEY);
    crate::harness::http::Client::new().get(&url).send().await.text()
}
