//! What keeps readers from waiting and the origin from harm: each strategy over real processes, a real server and an
//! origin that counts, fails, hangs or lags.

mod conditional;

use crate::harness::http::Response;
use crate::harness::instance::{Instance, NAMESPACE};

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
