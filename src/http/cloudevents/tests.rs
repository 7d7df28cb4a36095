//! What a CloudEvent says, and what is wrong with one.

use super::super::problem::Code;
use super::*;
use crate::model::{Key, Namespace, Shard, Tag, Target};
use hyper::header::HeaderMap;

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn read(lines: &[(&'static str, &str)], body: &str) -> Result<Said, Problem> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    envelope::read(&headers, body.as_bytes()).map_err(Refused::into_problem)
}

fn one(lines: &[(&'static str, &str)], body: &str) -> Event {
    match read(lines, body).unwrap() {
        Said::One([event]) => event,
        Said::Many(many) => panic!("{many:?}"),
    }
}

/// A CloudEvent with those members instead of, or beside, what it needs.
fn event(members: &serde_json::Value) -> String {
    let mut event =
        json!({"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "data": {"tags": ["x"]}});
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.to_string()
}

fn binary<'a>(beside: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    let names = |name| beside.iter().any(|(other, _)| *other == name);
    let usual = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/a"), ("ce-type", "t")];
    usual.into_iter().filter(|(name, _)| !names(*name)).chain(beside.iter().copied()).collect()
}

#[test]
fn the_three_modes_say_the_same() {
    let structured = one(&[STRUCTURED], &event(&json!({"traceparent": TRACE, "subject": "s", "ext": 1})));
    assert_eq!(structured.targets, [Target::Tag(Tag::new("x").unwrap())]);
    assert_eq!((&*structured.provenance.source, &*structured.provenance.reason), ("/a", "t"));
    assert!(structured.provenance.trace.is_some());
    let headers = binary(&[("content-type", "application/json"), ("ce-traceparent", TRACE)]);
    assert_eq!(one(&headers, r#"{"tags":["x"]}"#), structured);
    let batch = format!("[{},{}]", event(&json!({"traceparent": TRACE})), event(&json!({"id": "2"})));
    let Said::Many(many) = read(&[BATCH], &batch).unwrap() else { panic!("a batch is many") };
    assert_eq!((many.len(), &many[0]), (2, &structured));
    assert_ne!(many[0].request_id, many[1].request_id);
    assert_eq!(read(&[BATCH], "[]").unwrap(), Said::Many(Vec::new()));
    // {"namespace":"n","keys":["1"]}
    let packed = json!({"data": null, "data_base64": "eyJuYW1lc3BhY2UiOiJuIiwia2V5cyI6WyIxIl19"});
    let key = Target::Key(Namespace::new("n").unwrap(), Key::new("1").unwrap());
    assert_eq!(one(&[STRUCTURED], &event(&packed)).targets, [key]);
}

#[test]
fn what_the_event_says_itself_stands() {
    let data = json!({"data": {"tags": ["x"], "source": "s", "reason": "r", "request_id": "mine"}});
    let event = one(&[STRUCTURED], &event(&data));
    assert_eq!((&*event.provenance.source, &*event.provenance.reason), ("s", "r"));
    assert_eq!(event.request_id.as_deref(), Some("mine"));
}

#[test]
fn id_and_source_together_are_the_request_id() {
    let id =
        |source: &str, id: &str| one(&[STRUCTURED], &event(&json!({"source": source, "id": id}))).request_id;
    assert_eq!(id("/a", "1"), id("/a", "1"));
    assert_ne!(id("/a", "1"), id("/b", "1"));
    assert_ne!(id("/a", "1"), id("/a", "2"));
    assert_ne!(id("/a", "b1"), id("/ab", "1"));
    let long = "x".repeat(5000);
    assert!(id(&long, &long).unwrap().len() <= Event::TEXT_BYTES_MAX);
}

#[test]
fn a_header_may_be_quoted_and_percent_encoded() {
    let headers = binary(&[("ce-source", "\"/caf%C3%A9%20\\\"x\\\"\"")]);
    assert_eq!(one(&headers, r#"{"tags":["x"]}"#).provenance.source, "/café \"x\"");
}

#[test]
fn what_is_wrong_is_named() {
    let structured = |members: serde_json::Value| (vec![STRUCTURED], event(&members));
    let headers = |beside: &[(&'static str, &'static str)]| (binary(beside), r#"{"tags":["x"]}"#.to_owned());
    let many = format!("[{}]", vec![event(&json!({})); BATCH_MAX + 1].join(","));
    let second = format!("[{},{}]", event(&json!({})), event(&json!({"data": {"tags": ["a b"]}})));
    for ((lines, body), code, why) in [
        ((vec![], "{}".to_owned()), Code::BadRequest, "no CloudEvent"),
        ((vec![("content-type", "application/json")], event(&json!({}))), Code::BadRequest, "no CloudEvent"),
        ((vec![("content-type", "application/cloudevents+avro")], String::new()), Code::BadRequest, "+avro"),
        ((vec![STRUCTURED], "{".to_owned()), Code::BadRequest, "cannot"),
        (structured(json!({"specversion": "0.3"})), Code::BadRequest, "`specversion` is `0.3`"),
        (structured(json!({"specversion": null})), Code::BadRequest, "`specversion` is missing"),
        (structured(json!({"id": ""})), Code::BadRequest, "`id` is empty"),
        (structured(json!({"source": null})), Code::BadRequest, "`source` is missing"),
        (structured(json!({"type": null})), Code::BadRequest, "`type` is missing"),
        (structured(json!({"data": null})), Code::BadRequest, "`data` is missing"),
        (structured(json!({"data_base64": "e30="})), Code::BadRequest, "exclude each other"),
        (structured(json!({"data": null, "data_base64": "?"})), Code::BadRequest, "`data_base64`"),
        (structured(json!({"datacontenttype": "text/xml"})), Code::BadRequest, "`text/xml`"),
        (structured(json!({"data": "text"})), Code::BadRequest, "an event"),
        (structured(json!({"data": {"tag": ["x"]}})), Code::BadRequest, "`tag` is not a field"),
        (structured(json!({"data": {"tags": ["a b"]}})), Code::BadTag, "tag"),
        (structured(json!({"data": {"namespace": "n", "keys": [""]}})), Code::BadKey, "key"),
        (headers(&[("ce-id", "%zz")]), Code::BadRequest, "`ce-id` is not percent-encoded"),
        (headers(&[("ce-type", "")]), Code::BadRequest, "`ce-type` is empty"),
        (headers(&[("content-type", "text/plain")]), Code::BadRequest, "`text/plain`"),
        ((vec![BATCH], event(&json!({}))), Code::BadRequest, "a list of CloudEvents"),
        ((vec![BATCH], many), Code::BadRequest, "at most 1000"),
        ((vec![BATCH], second), Code::BadTag, "event 1 of the batch: "),
    ] {
        let refused = read(&lines, &body).expect_err(why);
        assert!(refused.detail().contains(why), "{why}: {}", refused.detail());
        assert_eq!(refused.code(), code, "{why}");
    }
}

#[test]
fn the_newest_number_of_each_shard_is_the_last() {
    let ids =
        [LogId::new(vec![(Shard(0), 5), (Shard(2), 1)]), LogId::new(vec![(Shard(0), 4), (Shard(2), 7)])];
    assert_eq!(last(ids.iter()).unwrap().to_string(), "5-0,7-0.2");
    assert_eq!(last([].iter()), None);
}
