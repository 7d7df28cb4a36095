//! Locks across the cluster: one holder at a time, fences that only grow, waits that end.

mod contenders;
mod fences;
mod requests;
mod waits;

use std::time::Duration;

use crate::harness::http::Response;
use crate::harness::instance::Instance;

/// A lock that was taken or extended.
#[derive(Clone, Debug)]
struct Held {
    token: String,
    fence: u64,
    expires_in: Duration,
}

/// What a 200 says.
fn held(answer: &Response) -> Held {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let document = answer.json();
    let number = |name: &str| document[name].as_u64().unwrap_or_else(|| panic!("{name} in {document}"));
    Held {
        token: document["token"].as_str().expect("a token").to_owned(),
        fence: number("fence"),
        expires_in: Duration::from_millis(number("expires_in_ms")),
    }
}

/// `POST`: with a query such as `?ttl=1s`.
async fn post(instance: &Instance, lock: &str, query: &str) -> Response {
    instance.request("POST", &format!("/v1/locks/{lock}{query}")).send().await
}

async fn put(instance: &Instance, lock: &str, query: &str, token: &str) -> Response {
    instance.request("PUT", &format!("/v1/locks/{lock}{query}")).header("coherd-lock", token).send().await
}

async fn delete(instance: &Instance, lock: &str, token: &str) -> Response {
    instance.request("DELETE", &format!("/v1/locks/{lock}")).header("coherd-lock", token).send().await
}

/// That a lock was refused; in how many seconds it asks to come back.
fn assert_locked(answer: &Response) -> u64 {
    assert_eq!((answer.status, &answer.json()["code"]), (409, &"locked".into()), "{answer:?}");
    answer.header("retry-after").expect("it says when").parse().expect("in seconds")
}

fn assert_lost(answer: &Response) {
    assert_eq!((answer.status, &answer.json()["code"]), (409, &"lock_lost".into()), "{answer:?}");
}
