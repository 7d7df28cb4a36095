//! Breakers: what fails again and again is left alone for a while, then a single call tries it.

mod backend;
mod origin;

use serde_json::Value;

use crate::harness::http::Response;
use crate::harness::instance::Instance;

/// The states as `coherd_breaker_state` counts them.
const CLOSED: i64 = 0;
const HALF_OPEN: i64 = 1;
const OPEN: i64 = 2;

async fn state(instance: &Instance, target: &str) -> i64 {
    let series = format!("coherd_breaker_state{{target=\"{target}\"}}");
    let state = instance.metric(&series).await.expect("every breaker has its series from the start");
    format!("{state}").parse().expect("a whole number")
}

/// What `/stats` says of it.
async fn in_stats(instance: &Instance, target: &str) -> Value {
    instance.admin("/stats").await["breakers"][target].clone()
}

/// What `/readyz` says is worse than it should be, while it answers 200.
async fn degraded(instance: &Instance) -> Vec<String> {
    let (status, document) = instance.readyz().await;
    assert_eq!(status, 200, "{document}");
    serde_json::from_value(document["degraded"].clone()).expect("a list of texts")
}

/// The seconds after which a refusal asks to come back.
fn retry_after(answer: &Response) -> u64 {
    assert_eq!((answer.status, &answer.json()["code"]), (503, &"unavailable".into()), "{answer:?}");
    answer.header("retry-after").expect("it says when").parse().expect("in seconds")
}
