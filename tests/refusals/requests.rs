//! Requests that make no sense, whoever sends them: what they name, how they are spelt, how much they bring.

use super::{refused, refuses};
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, Setup};

/// One instance with a namespace over an origin and one without.
async fn one() -> Cluster {
    let setup = Setup::new(1)
        .set("namespaces.own.origin.kind", "none")
        .set("namespaces.own.max_value", "512B")
        .set("server.max_body", "1KiB");
    Cluster::with(setup).await
}

#[tokio::test]
async fn a_key_a_tag_or_a_namespace_that_cannot_be_one() {
    let cluster = one().await;
    let instance = cluster.instance(0);
    let long = format!("GET /v1/cache/things/{}", "k".repeat(513));
    let long_encoded = format!("PURGE /v1/cache/things/{}", "%C3%A4".repeat(257));
    let long_in_list = format!("GET /v1/cache/things?keys=a,{}", "k".repeat(513));
    let lines = [
        ("GET /v1/cache/things/%FF", 400, "bad_key"),
        ("GET /v1/cache/things/a%C3", 400, "bad_key"),
        ("GET /v1/cache/things/a%zz", 400, "bad_key"),
        ("GET /v1/cache/things/", 400, "bad_key"),
        ("PUT /v1/cache/own/", 400, "bad_key"),
        ("PURGE /v1/cache/things/%80", 400, "bad_key"),
        ("DELETE /v1/cache/own/%80", 400, "bad_key"),
        ("GET /v1/cache/things?keys=a,,b", 400, "bad_key"),
        ("GET /v1/cache/things?keys=a,%FF", 400, "bad_key"),
        (&long, 400, "bad_key"),
        (&long_encoded, 400, "bad_key"),
        (&long_in_list, 400, "bad_key"),
        ("GET /v1/cache/nope/k", 404, "unknown_namespace"),
        ("PUT /v1/cache/nope/k", 404, "unknown_namespace"),
        ("DELETE /v1/cache/nope/k", 404, "unknown_namespace"),
        ("PURGE /v1/cache/nope/k", 404, "unknown_namespace"),
        ("GET /v1/cache/nope?keys=a", 404, "unknown_namespace"),
        ("POST /v1/cache/nope", 404, "unknown_namespace"),
        ("GET /v1/cache/Not%20One/k", 404, "unknown_namespace"),
        ("GET /v1/cache//k", 404, "unknown_namespace"),
        ("GET /v1/cache/things/nothing-there", 404, "not_found"),
        ("GET /v1/cache/own/nothing-there", 404, "not_found"),
        ("GET /", 404, "not_found"),
        ("GET /v1/cachet/things/k", 404, "not_found"),
        ("GET /v2/cache/things/k", 404, "not_found"),
        ("GET /metrics", 404, "not_found"),
    ];
    refuses(instance, &lines).await;
    // The longest there may be.
    let longest = "k".repeat(512);
    cluster.origin.set(&longest, 1);
    assert_eq!(instance.get("things", &longest).send().await.status, 200);

    for (name, value) in [
        ("cache-tag", "a b".to_owned()),
        ("surrogate-key", "t".repeat(257)),
        ("cache-groups", "\"a b\"".to_owned()),
        ("surrogate-key", (0..129).map(|number| number.to_string()).collect::<Vec<_>>().join(" ")),
    ] {
        let put = instance.put("own", "k", "v").header(name, &value);
        refused(name, put, 400, "bad_tag").await;
    }
    for (name, value) in
        [("cache-tag", "a b"), ("cache-group-invalidation", "(\"a\")"), ("surrogate-key", "a,b")]
    {
        let post = instance.request("POST", "/v1/invalidate").header(name, value);
        refused(name, post, 400, "bad_tag").await;
    }
}

#[tokio::test]
async fn a_method_that_the_resource_does_not_know() {
    let cluster = one().await;
    let instance = cluster.instance(0);
    let key = "GET, HEAD, PUT, DELETE, PURGE";
    for (line, allow) in [
        ("PATCH /v1/cache/things/k", key),
        ("POST /v1/cache/things/k", key),
        ("OPTIONS /v1/cache/nope/k", key),
        ("BREW /v1/cache/things/k", key),
        ("DELETE /v1/cache/things", "GET, HEAD, POST"),
        ("PURGE /v1/cache/things", "GET, HEAD, POST"),
        ("GET /v1/invalidate", "POST"),
        ("PURGE /v1/invalidate", "POST"),
        ("POST /healthz", "GET, HEAD"),
        ("DELETE /readyz", "GET, HEAD"),
    ] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let answer = refused(line, instance.request(method, path), 405, "method_not_allowed").await;
        assert_eq!(answer.header("allow"), Some(allow), "{line}");
    }
    let client = Client::new();
    for (line, status, code, allow) in [
        ("POST /metrics", 405, "method_not_allowed", Some("GET, HEAD")),
        ("PUT /stats", 405, "method_not_allowed", Some("GET, HEAD")),
        ("GET /stats/reset", 405, "method_not_allowed", Some("POST")),
        ("POST /events", 405, "method_not_allowed", Some("GET")),
        ("GET /v1/cache/things/k", 404, "not_found", None),
        ("GET /nothing", 404, "not_found", None),
    ] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let answer = refused(line, client.request(method, &instance.admin_url(path)), status, code).await;
        assert_eq!(answer.header("allow"), allow, "{line}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_understood() {
    let cluster = one().await;
    let instance = cluster.instance(0);
    let lines = [
        ("GET /v1/cache/things", 400, "bad_request"),
        ("GET /v1/cache/things?key=a", 400, "bad_request"),
        ("POST /v1/cache/things", 400, "bad_request"),
        ("POST /v1/invalidate", 400, "bad_request"),
        ("POST /v1/invalidate?wait=some", 400, "bad_request"),
        ("POST /v1/invalidate?wiat=all", 400, "bad_request"),
        ("POST /v1/invalidate?wait=all&timeout=0s", 400, "bad_request"),
        ("POST /v1/invalidate?timeout=3s", 400, "bad_request"),
        ("POST /v1/invalidate?exact=perhaps", 400, "bad_request"),
        ("PURGE /v1/cache/things/k?soft=perhaps", 400, "bad_request"),
        ("PURGE /v1/cache/things/k?sfot=1", 400, "bad_request"),
    ];
    refuses(instance, &lines).await;
    for (name, value) in [
        ("coherd-min-log-id", "seven"),
        ("coherd-min-log-id", ""),
        ("coherd-min-log-id", "7-0.70000"),
        ("coherd-min-log-id", "99999999999999999999999-0"),
        ("coherd-consistency", "lax"),
    ] {
        refused(name, instance.get("things", "k").header(name, value), 400, "bad_request").await;
        let bulk = instance.request("GET", "/v1/cache/things?keys=a").header(name, value);
        refused(name, bulk, 400, "bad_request").await;
    }
    for body in ["{", "[]", r#"{"keys":"a"}"#, r#"{"keys":["a"],"more":1}"#, r#"{"keys":["a"]}{"#] {
        let bulk = instance.request("POST", "/v1/cache/things").body(body);
        refused(body, bulk, 400, "bad_request").await;
    }
    for (kind, body) in [
        ("application/json", &b"{"[..]),
        ("application/json", b"\xFF"),
        ("application/json", b"\"tags\""),
        ("application/json", br#"{"tags":["a"]} more"#),
        ("application/json", br#"{"tags":["a"],"tags":["b"]}"#),
        ("application/json", b"\x81\xA4tags\x91\xA1a"),
        ("application/msgpack", b"\x81\xA4tags\x91\xA1"),
        ("application/msgpack", b"\xC1"),
        ("application/msgpack", br#"{"tags":["a"]}"#),
    ] {
        let request = instance.request("POST", "/v1/invalidate").header("content-type", kind).body(body);
        refused(kind, request, 400, "bad_request").await;
    }
}

#[tokio::test]
async fn more_than_is_read() {
    let cluster = one().await;
    let instance = cluster.instance(0);
    let body = |bytes: usize| "x".repeat(bytes);
    refused("a body", instance.put("own", "k", &body(1025)), 413, "too_large").await;
    refused("a value", instance.put("own", "k", &body(513)), 413, "too_large").await;
    assert_eq!(instance.put("own", "k", &body(512)).send().await.status, 200);
    let event = instance.request("POST", "/v1/invalidate").body(body(1025));
    refused("an event", event, 413, "too_large").await;
    let keys = instance.request("POST", "/v1/cache/things").body(body(1025));
    refused("a list of keys", keys, 413, "too_large").await;

    let many = |count: usize| (0..count).map(|key| key.to_string()).collect::<Vec<_>>().join(",");
    let path = format!("/v1/cache/things?keys={}", many(1001));
    refused("keys", instance.request("GET", &path), 400, "bad_request").await;
    let path = format!("/v1/cache/things?keys={}", many(1000));
    assert_eq!(instance.request("GET", &path).send().await.status, 200);
    let path = format!("/v1/cache/things/{}", "k".repeat(32 * 1024));
    refused("a path", instance.request("GET", &path), 414, "uri_too_long").await;
    let path = format!("/v1/cache/things?keys={}", "k,".repeat(20 * 1024));
    refused("a query", instance.request("GET", &path), 414, "uri_too_long").await;
}

#[tokio::test]
async fn more_keys_than_are_read_at_once_by_post() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    let keys = |count: usize| serde_json::json!({ "keys": (0..count).map(|key| key.to_string()).collect::<Vec<_>>() });
    let post = |count| instance.request("POST", "/v1/cache/things").body(keys(count).to_string());
    refused("keys", post(1001), 400, "bad_request").await;
    assert_eq!(post(1000).send().await.status, 200);
}
