//! CloudEvents: in each mode they are obeyed as any other event is, once, and by whoever may.

use serde_json::{Value, json};

use super::{head, hold, key_event, logged, obeyed, rejected, three};
use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::resp::Reply;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn envelope(id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/billing", "type": "com.example.changed", "data": data})
}

async fn post(instance: &Instance, kind: &str, body: &Value) -> Response {
    let request = instance.request("POST", "/v1/events").header("content-type", kind);
    request.body(body.to_string()).send().await
}

#[tokio::test]
async fn each_mode_is_obeyed_by_all_instances_and_sent_again_it_is_not_logged_again() {
    let cluster = Cluster::with(three()).await;
    for key in ["structured", "binary", "batch-1", "batch-2"] {
        hold(&cluster, NAMESPACE, key).await;
        cluster.origin.bump(key);
    }
    let before = logged(&cluster.server).await;
    for repeat in [false, true] {
        let one = post(cluster.instance(0), STRUCTURED, &envelope("1", &key_event("structured"))).await;
        assert_eq!((one.status, &one.json()["applied"]), (202, &json!([])), "{one:?}");
        let id = one.header("coherd-log-id").expect("a change has an id").to_owned();
        assert_eq!(one.json()["id"], id);

        let binary =
            cluster.instance(1).request("POST", "/v1/events").header("content-type", "application/json");
        let attributes =
            [("ce-specversion", "1.0"), ("ce-id", "2"), ("ce-source", "/billing"), ("ce-type", "t")];
        let binary = attributes.iter().fold(binary, |request, (name, value)| request.header(name, value));
        let binary = binary.body(key_event("binary").to_string()).send().await;
        assert_eq!(binary.status, 202, "{binary:?}");

        let many = json!([envelope("3", &key_event("batch-1")), envelope("4", &key_event("batch-2"))]);
        let many = post(cluster.instance(2), BATCH, &many).await;
        assert_eq!((many.status, many.json()["ids"].as_array().map(Vec::len)), (202, Some(2)), "{many:?}");
        let last = many.json()["ids"][1].as_str().map(str::to_owned);
        assert_eq!(many.header("coherd-log-id"), last.as_deref());
        if !repeat {
            assert_eq!(last, Some(head(&cluster.server).await));
        }
        assert_eq!(logged(&cluster.server).await, before + 4, "repeated: {repeat}");
    }
    for key in ["structured", "binary", "batch-1", "batch-2"] {
        obeyed(&cluster, NAMESPACE, key).await;
    }
    let events = cluster.server.command(&["XREVRANGE", super::LOG, "+", "-", "COUNT", "1"]).await;
    let fields = events.items()[0].items()[1].items().iter().map(Reply::text).collect::<Vec<_>>();
    let field = |name: &str| fields.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone());
    assert_eq!(
        (field("src").as_deref(), field("why").as_deref()),
        (Some("/billing"), Some("com.example.changed"))
    );
    let series = r#"coherd_invalidations_published_total{source="cloudevents"}"#;
    assert_eq!(cluster.instance(2).metric(series).await, Some(2.0));
}

#[tokio::test]
async fn of_a_batch_with_a_fault_nothing_is_logged_and_the_fault_is_named_and_counted() {
    let cluster = Cluster::start(1).await;
    let before = logged(&cluster.server).await;
    let many = json!([envelope("1", &key_event("a")), envelope("2", &json!({"tags": ["a b"]}))]);
    let answer = post(cluster.instance(0), BATCH, &many).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_tag")), "{answer:?}");
    assert_eq!(answer.json()["event"], 1);
    let answer = post(cluster.instance(0), STRUCTURED, &json!({"specversion": "1.0", "id": "1"})).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_request")));
    assert_eq!(answer.json()["detail"], "the event cannot be read: `source` is missing");
    let long = envelope("3", &json!({"tags": ["t"], "reason": "x".repeat(1 << 20)}));
    assert_eq!(post(cluster.instance(0), STRUCTURED, &long).await.status, 413);
    for (reason, times) in [("bad_tag", 1), ("malformed", 1), ("too_large", 1)] {
        assert_eq!(rejected(&cluster, reason).await, times, "{reason}");
    }
    assert_eq!(logged(&cluster.server).await, before);
    let none = post(cluster.instance(0), BATCH, &json!([])).await;
    assert_eq!((none.status, &none.json()["ids"]), (202, &json!([])));
    assert_eq!(none.header("coherd-log-id"), None);
}
