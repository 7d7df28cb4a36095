//! Refusals: each has its status and its code, says who refused, and comes from a real process.

mod limits;
mod origin;
mod requests;
mod rights;
mod state;

use serde_json::json;

use crate::harness::http::{Request, Response};
use crate::harness::instance::Instance;

/// That it is such a refusal, with everything a refusal has.
pub(crate) fn assert_refused(of: &str, answer: &Response, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{of}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{of}: {answer:?}");
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{of}: {problem}");
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{of}: {problem}");
    }
    let cache_status = answer.header("cache-status").unwrap_or_default();
    assert!(cache_status.starts_with("coherd"), "{of}: {answer:?}");
    assert!(answer.header("coherd-instance").is_some_and(|id| id.starts_with("inst-")), "{of}: {answer:?}");
    assert_eq!(answer.header("allow").is_some(), status == 405, "{of}: {answer:?}");
    let retry_after = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok());
    assert_eq!(retry_after.is_some(), [429, 503].contains(&status), "{of}: {answer:?}");
    assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"), "{of}: {answer:?}");
}

/// Sends it and asserts that it is refused so.
async fn refused(of: &str, request: Request, status: u16, code: &str) -> Response {
    let answer = request.send().await;
    assert_refused(of, &answer, status, code);
    answer
}

/// Sends lines such as `GET /v1/cache/things/k`, with nothing else, and asserts how each is refused.
async fn refuses(instance: &Instance, lines: &[(&str, u16, &str)]) {
    for (line, status, code) in lines {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        refused(line, instance.request(method, path), *status, code).await;
    }
}
