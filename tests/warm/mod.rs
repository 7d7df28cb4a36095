//! Warming over real processes: on request, from the configuration, and with the keys that instances before have left.

mod hot;
mod lists;
mod request;

use crate::harness::instance::{Instance, NAMESPACE};

/// What an instance answers for `key`: the status, the version, and the detail of its `Cache-Status`.
async fn read(instance: &Instance, key: &str) -> (u16, Option<u64>, String) {
    let answer = instance.get(NAMESPACE, key).send().await;
    let document = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let status = answer.header("cache-status").unwrap_or_default();
    let detail = status.rsplit_once("detail=").map_or(status, |(_, detail)| detail);
    (answer.status, document.and_then(|it| it["version"].as_u64()), detail.to_owned())
}

/// Version `version` from L1.
fn from_l1(version: u64) -> (u16, Option<u64>, String) {
    (200, Some(version), "l1".to_owned())
}
