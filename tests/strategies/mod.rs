//! What keeps readers from waiting and the origin from harm: each strategy over real processes, a real server and an
//! origin that counts, fails, hangs or lags.

mod ahead;
mod conditional;
mod covering;
mod errors;
mod herd;
mod lag;
mod lifetimes;
mod refreshes;
mod soft;
mod spread;

use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::origin::Behaviour;
use crate::harness::wait::{SOON, eventually};

/// An answer's status, version and the detail of its `Cache-Status`.
fn seen(answer: &Response) -> (u16, Option<u64>, String) {
    let version = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let version = version.and_then(|it| it["version"].as_u64());
    let detail = answer.header("cache-status").unwrap_or_default();
    let detail = detail.rsplit_once("detail=").map_or(detail, |(_, detail)| detail);
    (answer.status, version, detail.to_owned())
}

async fn get(instance: &Instance, key: &str) -> Response {
    instance.get(NAMESPACE, key).send().await
}

/// What an instance answers for `key`.
async fn read(instance: &Instance, key: &str) -> (u16, Option<u64>, String) {
    seen(&get(instance, key).await)
}

/// How long an answer says that it lives, in seconds.
fn max_age(answer: &Response) -> u64 {
    let control = answer.header("cache-control").unwrap_or_default();
    let age = control.split(',').find_map(|it| it.trim().strip_prefix("max-age="));
    age.and_then(|age| age.parse().ok()).unwrap_or_else(|| panic!("no max-age in {answer:?}"))
}

/// Loads version 1 of `key` on these instances with a life of one second, and lets that be over; what is loaded from now
/// on lives long.
async fn expired(cluster: &Cluster, key: &str, instances: &[usize]) {
    cluster.origin.set(key, 1);
    cluster.origin.behave(key, Behaviour::default().header("cache-control", "max-age=1"));
    for number in instances {
        assert_eq!(read(cluster.instance(*number), key).await.1, Some(1));
    }
    cluster.origin.behave(key, Behaviour::default().header("cache-control", "max-age=600"));
    let entry = format!("coherd:{{main}}:e:things:v1:{key}");
    eventually("its time is over", SOON, async || {
        let until = cluster.server.command(&["HGET", &entry, "x"]).await.text();
        let now = cluster.server.command(&["TIME"]).await;
        let now = now.items()[0].text().parse::<u64>().expect("seconds") * 1000;
        until.parse::<u64>().expect("a time") <= now
    })
    .await;
}

/// The sum of a counter's series over all instances.
async fn total(cluster: &Cluster, series: &str) -> f64 {
    let mut sum = 0.0;
    for node in &cluster.nodes {
        sum += node.instance.metric(series).await.unwrap_or_else(|| panic!("there is no {series}"));
    }
    sum
}

/// The series that counts refreshes with this outcome.
fn refreshes(outcome: &str) -> String {
    format!("coherd_refreshes_total{{namespace=\"{NAMESPACE}\",outcome=\"{outcome}\"}}")
}
