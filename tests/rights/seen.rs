//! What a token that is for one namespace sees of the others: nothing, and it hides nothing of theirs.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Token, start};
use crate::harness::http::{Client as Asking, Request};
use crate::harness::instance::Instance;
use crate::harness::wait::SOON;

fn tokens() -> [Token; 3] {
    [
        Token::new("tenant", &["read", "write", "invalidate", "admin"], &["one"]),
        Token::new("other", &["invalidate"], &["two"]),
        Token::new("operator", &["invalidate", "admin"], &[]),
    ]
}

fn by(token: &str, request: Request) -> Request {
    request.header("authorization", &format!("Bearer {token}-s3cret"))
}

async fn published(instance: &Instance, token: &str, event: &Value) -> String {
    let answer = by(token, instance.invalidate("", event)).send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// What a follower with that token has seen once the event `last` is among it.
async fn follow(instance: &Instance, token: &str, publish: impl AsyncFnOnce() -> String) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let request = hyper::Request::get(instance.admin_url("/events"));
    let request = request.header("authorization", format!("Bearer {token}-s3cret")).body(Empty::new());
    let answer = client.request(request.expect("a request")).await.expect("the stream opens");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let last = publish().await;
    let mut seen = String::new();
    while !seen.contains(&format!("\"id\":\"{last}\"")) {
        let frame = timeout(SOON, body.frame()).await.unwrap_or_else(|_| panic!("no {last} in {seen}"));
        let data = frame.expect("it goes on").expect("it is whole").into_data().expect("it is data");
        seen.push_str(&String::from_utf8_lossy(&data));
    }
    seen
}

#[tokio::test]
async fn a_tail_shows_the_events_of_the_tokens_namespaces_alone() {
    let instance = start(&tokens()).await;
    let publish = async || {
        for event in [
            json!({ "namespace": "two", "keys": ["secret-key"] }),
            json!({ "namespace": "two", "prefixes": ["secret-prefix/"] }),
            json!({ "tags": ["secret-tag"] }),
            json!({ "namespace": "one", "keys": ["own"], "tags": ["secret-tag"], "reason": "own reason" }),
            json!({ "all": true, "reason": "everybody's" }),
        ] {
            published(&instance, "operator", &event).await;
        }
        published(&instance, "operator", &json!({ "namespace": "one", "prefixes": ["last/"] })).await
    };
    let seen = follow(&instance, "tenant", publish).await;
    assert!(!seen.contains("secret"), "{seen}");
    for own in ["\"keys\":[\"own\"]", "own reason", "everybody's", "last/"] {
        assert!(seen.contains(own), "`{own}`: {seen}");
    }
    let seen = follow(&instance, "operator", publish).await;
    for any in ["secret-key", "secret-prefix/", "secret-tag", "own reason", "everybody's"] {
        assert!(seen.contains(any), "`{any}`: {seen}");
    }
}

#[tokio::test]
async fn statistics_name_the_tokens_namespaces_alone() {
    let instance = start(&tokens()).await;
    let stats = async |token| by(token, Asking::new().get(&instance.admin_url("/stats"))).send().await.json();
    let names =
        |stats: &Value| stats["namespaces"].as_object().expect("a table").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&stats("operator").await), ["one", "two"]);
    let own = stats("tenant").await;
    assert_eq!(names(&own), ["one"]);
    assert!(own["breakers"]["backend"].is_string(), "{own}");
}

#[tokio::test]
async fn a_repeated_request_id_is_the_senders_own() {
    let instance = start(&tokens()).await;
    let event = |namespace: &str| json!({ "namespace": namespace, "keys": ["k"], "request_id": "guessed" });
    let guessed = published(&instance, "tenant", &event("one")).await;
    let others = published(&instance, "other", &event("two")).await;
    assert_ne!(guessed, others, "somebody else's event is logged all the same");
    assert_eq!(published(&instance, "other", &event("two")).await, others, "one's own is a repetition");
    assert_ne!(published(&instance, "operator", &event("two")).await, others);
}
