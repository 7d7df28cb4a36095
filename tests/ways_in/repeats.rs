//! `request_id`: a publisher may say it again, at any instance and any door.

use serde_json::json;

use super::{CTL, INBOX, channel_is_read, inbox_is_empty, logged, three};
use crate::harness::command::coherd;
use crate::harness::instance::{Cluster, NAMESPACE};

#[tokio::test]
async fn a_request_id_seen_before_is_answered_with_the_first_id_and_logged_once() {
    let cluster = Cluster::with(three()).await;
    let event = |id: &str| json!({ "namespace": NAMESPACE, "keys": ["k"], "request_id": id });
    let fcall = async |id: &str| {
        let words = ["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "key", "k", "request_id", id];
        cluster.server.command(&words).await.text()
    };
    let first = cluster.instance(0).invalidate("", &event("by-http")).send().await;
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    let by_function = fcall("by-function").await;
    let before = logged(&cluster.server).await;

    for node in &cluster.nodes {
        for (request_id, id) in [("by-http", &id), ("by-function", &by_function)] {
            let again = node.instance.invalidate("", &event(request_id)).send().await;
            assert_eq!((again.status, &again.json()["id"]), (202, &json!(id)), "{request_id}");
            assert_eq!(again.header("coherd-log-id"), Some(id.as_str()));
            let waited = node.instance.invalidate("?wait=all", &event(request_id)).send().await;
            assert_eq!((waited.status, &waited.json()["id"]), (200, &json!(id)), "{request_id}");
        }
    }
    assert_eq!(fcall("by-http").await, id);
    assert_eq!(fcall("by-function").await, by_function);

    let server = &cluster.server;
    server.command(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", "k", "request_id", "by-http"]).await;
    inbox_is_empty(server).await;
    server.command(&["PUBLISH", INBOX, &event("by-function").to_string()]).await;
    channel_is_read(&cluster).await;

    let line = ["invalidate", "-n", NAMESPACE, "--key", "k", "--request-id", "by-http"];
    let (url, valkey) = (cluster.instance(1).url(""), server.url_at(server.addr()));
    for to in [["--url", &url], ["--backend", &valkey]] {
        let ran = coherd(&[&line[..], &to].concat()).await;
        assert_eq!((ran.code, ran.out.trim()), (Some(0), id.as_str()), "{ran:?}");
    }
    assert_eq!(logged(server).await, before, "none of these was logged again");

    let other = cluster.instance(2).invalidate("", &event("another")).send().await;
    assert_ne!(other.json()["id"], id);
    assert_eq!(logged(server).await, before + 1);
}
