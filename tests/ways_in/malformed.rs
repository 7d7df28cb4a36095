//! Malformed events: refused where there is somebody to tell, counted, and never in the way of those behind them.

use serde_json::{Value, json};

use super::{
    CTL, INBOX, LOG, channel_is_read, hold, inbox_is_empty, key_event, logged, msgpack, obeyed, rejected,
    three,
};
use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::resp::Reply;
use crate::harness::wait::{SOON, eventually};

/// What is wrong with an event, and the `reason` it is counted under.
fn wrong() -> Vec<(Value, &'static str)> {
    let many: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
    vec![
        (json!(["no", "map"]), "malformed"),
        (json!({ "namespace": NAMESPACE, "keys": "k" }), "malformed"),
        (json!({ "namespace": NAMESPACE, "keys": ["k"], "tag": ["t"] }), "unknown_field"),
        (json!({}), "no_target"),
        (json!({ "namespace": NAMESPACE, "keys": many }), "too_many_targets"),
        (json!({ "keys": ["k"] }), "bad_namespace"),
        (json!({ "namespace": "Not One", "keys": ["k"] }), "bad_namespace"),
        (json!({ "namespace": NAMESPACE, "keys": [""] }), "bad_key"),
        (json!({ "namespace": NAMESPACE, "keys": ["k".repeat(513)] }), "bad_key"),
        (json!({ "namespace": NAMESPACE, "prefixes": [""] }), "bad_prefix"),
        (json!({ "tags": ["a b"] }), "bad_tag"),
        (json!({ "tags": ["t"], "request_id": "" }), "bad_request_id"),
        (json!({ "tags": ["t"], "reason": "x".repeat(1 << 20) }), "too_large"),
    ]
}

/// The fault is counted once for each of `times`, the event behind it is obeyed, and nothing else was logged.
async fn passed_over(
    cluster: &Cluster,
    name: &str,
    (reason, times): (&str, u64),
    say: impl AsyncFnOnce(),
    say_right: impl AsyncFnOnce(&str),
) {
    let (counted, events) = (rejected(cluster, reason).await, logged(&cluster.server).await);
    hold(cluster, NAMESPACE, "behind").await;
    cluster.origin.bump("behind");
    say().await;
    say_right("behind").await;
    obeyed(cluster, NAMESPACE, "behind").await;
    eventually(&format!("{name} is counted as {reason}"), SOON, async || {
        rejected(cluster, reason).await == counted + times
    })
    .await;
    channel_is_read(cluster).await;
    assert_eq!(logged(&cluster.server).await, events + 1, "{name}");
}

#[tokio::test]
async fn in_the_stream_they_are_counted_once_and_removed() {
    let cluster = Cluster::with(three()).await;
    let server = &cluster.server;
    let right = async |key: &str| {
        server.command(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", key]).await;
    };
    for (event, reason) in wrong() {
        let event = event.to_string();
        let say = async || drop(server.command(&["XADD", INBOX, "*", "event", &event]).await);
        passed_over(&cluster, "JSON", (reason, 1), say, right).await;
    }
    for (fields, reason) in [
        (vec!["event", "{"], "malformed"),
        (vec!["event", "{}", "ns", NAMESPACE], "malformed"),
        (vec!["ns", NAMESPACE, "key", "k", "soft", "maybe"], "malformed"),
        (vec!["ns", NAMESPACE, "ns", "others", "key", "k"], "malformed"),
        (vec!["namespace", NAMESPACE, "key", "k"], "unknown_field"),
        (vec!["ns", NAMESPACE], "no_target"),
        (vec!["all", "0"], "no_target"),
        (vec!["key", "k"], "bad_namespace"),
        (vec!["ns", NAMESPACE, "key", ""], "bad_key"),
        (vec!["tag", "a,b"], "bad_tag"),
    ] {
        let words = [&["XADD", INBOX, "*"], &fields[..]].concat();
        let say = async || drop(server.command(&words).await);
        passed_over(&cluster, &format!("{fields:?}"), (reason, 1), say, right).await;
    }
    let bytes: [&[u8]; 7] = [b"XADD", INBOX.as_bytes(), b"*", b"ns", NAMESPACE.as_bytes(), b"key", b"\xFF"];
    let say = async || drop(server.command(&bytes).await);
    passed_over(&cluster, "bytes", ("bad_key", 1), say, right).await;
    inbox_is_empty(server).await;
}

#[tokio::test]
async fn on_the_channel_every_instance_counts_them() {
    let cluster = Cluster::with(three()).await;
    let server = &cluster.server;
    let right = async |key: &str| {
        server.command(&["PUBLISH", INBOX, &key_event(key).to_string()]).await;
    };
    for (event, reason) in wrong() {
        let text = event.to_string().into_bytes();
        for message in [text, msgpack(&event)] {
            let words: [&[u8]; 3] = [b"PUBLISH", INBOX.as_bytes(), &message];
            let say = async || drop(server.command(&words).await);
            passed_over(&cluster, reason, (reason, 3), say, right).await;
        }
    }
    for message in [&b""[..], b"{", b"\xC1", b"\x81\xA4tags\x91\xA1t more", b"invalidate k, please"] {
        let words: [&[u8]; 3] = [b"PUBLISH", INBOX.as_bytes(), message];
        let say = async || drop(server.command(&words).await);
        passed_over(&cluster, "bytes", ("malformed", 3), say, right).await;
    }
}

#[tokio::test]
async fn over_http_they_are_refused_and_counted() {
    let cluster = Cluster::with(three()).await;
    let right = async |key: &str| {
        assert_eq!(cluster.instance(1).invalidate("", &key_event(key)).send().await.status, 202);
    };
    for (event, reason) in wrong() {
        let (status, code) = match reason {
            "too_large" => (413, "too_large"),
            "bad_key" => (400, "bad_key"),
            "bad_tag" => (400, "bad_tag"),
            _ => (400, "bad_request"),
        };
        for (kind, body) in
            [("application/json", event.to_string().into_bytes()), ("application/msgpack", msgpack(&event))]
        {
            let say = async || {
                let request =
                    cluster.instance(0).request("POST", "/v1/invalidate").header("content-type", kind);
                let answer = request.body(body).send().await;
                assert_eq!(
                    (answer.status, &answer.json()["code"]),
                    (status, &json!(code)),
                    "{kind} {reason}"
                );
            };
            passed_over(&cluster, kind, (reason, 1), say, right).await;
        }
    }
}

#[tokio::test]
async fn the_function_refuses_them_and_says_why() {
    let cluster = Cluster::with(three()).await;
    let server = &cluster.server;
    let many: Vec<String> = (0..1001).flat_map(|number| ["key".to_owned(), number.to_string()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let too_long = "k".repeat(513);
    let before = logged(server).await;
    for (fields, why) in [
        (vec![], "nothing to invalidate"),
        (vec!["ns", NAMESPACE], "nothing to invalidate"),
        (vec!["ns", NAMESPACE, "key"], "has no value"),
        (vec!["key", "k"], "needs an `ns`"),
        (vec!["ns", "Not One", "key", "k"], "a namespace is"),
        (vec!["ns", NAMESPACE, "key", ""], "1 to 512 bytes"),
        (vec!["ns", NAMESPACE, "key", &too_long], "1 to 512 bytes"),
        (vec!["ns", NAMESPACE, "prefix", ""], "1 to 512 bytes"),
        (vec!["tag", "a b"], "a tag is"),
        (vec!["tag", "t", "soft", "maybe"], "is 1 or 0"),
        (vec!["namespace", NAMESPACE, "key", "k"], "unknown field"),
        ([&["ns", NAMESPACE], &many[..]].concat(), "at most 1000 targets"),
    ] {
        let words = [&["FCALL", "coherd_invalidate", "1", CTL], &fields[..]].concat();
        match server.command(&words).await {
            Reply::Error(error) => assert!(error.contains(why), "{error}"),
            other => panic!("{fields:?}: {other:?}"),
        }
    }
    for words in [
        &["FCALL", "coherd_invalidate", "0", "tag", "t"][..],
        &["FCALL", "coherd_invalidate", "1", LOG, "tag", "t"],
    ] {
        assert!(matches!(server.command(words).await, Reply::Error(_)), "{words:?}");
    }
    assert_eq!(logged(server).await, before);
    hold(&cluster, NAMESPACE, "behind").await;
    cluster.origin.bump("behind");
    server.command(&["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "key", "behind"]).await;
    obeyed(&cluster, NAMESPACE, "behind").await;
}
