//! Writes to origins, as their users see them: what is answered, what the origin gets, what waits, what died, and who
//! goes on when a worker is gone. Races that are forced are in `write_races`, the promise in `chaos`.

mod answers;
mod durability;
mod letters;
mod restored;
mod shown;
mod workers;

use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::Effect;
use crate::harness::wait::{SOON, eventually};

/// So many instances that write so, and try again soon.
fn setup(instances: usize, write: &str) -> Setup {
    Setup::new(instances)
        .namespace("write", write)
        .namespace("origin.retries", 0)
        .namespace("origin.breaker.failures", 1_000)
        .set("write_behind.takeover", "1s")
        .set("write_behind.retry.initial", "20ms")
        .set("write_behind.retry.max", "100ms")
        .set("write_behind.retry.attempts", 1_000)
}

async fn put(at: &Instance, key: &str, value: &str) -> Response {
    at.put(NAMESPACE, key, value).send().await
}

/// A read that is as new as everything logged before it: its status, its body, and which way it came.
async fn read(at: &Instance, key: &str) -> (u16, String, String) {
    let answer = at.get(NAMESPACE, key).header("coherd-consistency", "strict").send().await;
    let status = answer.header("cache-status").unwrap_or_default();
    let detail = status.rsplit("detail=").next().unwrap_or_default().to_owned();
    (answer.status, answer.text(), detail)
}

/// The version in a value that nobody wrote.
fn version(body: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(body).ok()?["version"].as_u64()
}

/// What was written to a key at the origin, and what became of it.
fn effects(cluster: &Cluster, key: &str) -> Vec<(Option<String>, Effect)> {
    let text = |body: Option<bytes::Bytes>| body.map(|body| String::from_utf8_lossy(&body).into_owned());
    cluster.origin.writes(key).into_iter().map(|write| (text(write.body), write.effect)).collect()
}

/// Waits until that was written to a key and took effect.
async fn arrived(cluster: &Cluster, key: &str, value: Option<&str>) {
    let wanted = (value.map(str::to_owned), Effect::Applied);
    eventually("the origin has it", SOON, async || effects(cluster, key).contains(&wanted)).await;
}

/// Waits until nothing waits, as an instance counts it.
async fn drained(at: &Instance) {
    eventually("nothing waits", SOON, async || {
        at.admin("/v1/writes/pending").await["pending"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}
