//! Tokens: who is nobody, who may not do it at all, and who may not do it there.

use serde_json::json;

use super::refused;
use crate::harness::http::{Client, Request};
use crate::harness::instance::{Config, Instance};
use crate::harness::server::Server;

/// Name, namespaces and rights of every token; the secret of `x` is `x-s3cret`.
const TOKENS: [(&str, &[&str], &[&str]); 6] = [
    ("reader", &["one"], &["read"]),
    ("writer", &["one"], &["write"]),
    ("publisher", &["one"], &["invalidate"]),
    ("two", &["one", "two"], &["read", "write", "invalidate"]),
    ("everywhere", &[], &["invalidate"]),
    ("operator", &[], &["admin"]),
];

async fn start(server: &Server) -> Instance {
    let mut config = Config::new("inst-0", &server.url_at(server.addr()))
        .set("namespaces.one.origin.kind", "none")
        .set("namespaces.two.origin.kind", "none")
        // Who reads what another may load waits for that one.
        .set("defaults.lease", "1s");
    let mut tokens = Vec::new();
    for (name, namespaces, allow) in TOKENS {
        let variable = format!("TEST_TOKEN_{}", name.to_uppercase());
        config = config.env(&variable, &format!("{name}-s3cret"));
        let list =
            |texts: &[&str]| toml::Value::from(texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let mut token = toml::Table::new();
        token.insert("name".to_owned(), name.into());
        token.insert("token_env".to_owned(), variable.into());
        token.insert("allow".to_owned(), list(allow));
        token.insert("namespaces".to_owned(), list(namespaces));
        tokens.push(token);
    }
    Instance::start(config.set("auth.tokens", tokens)).await
}

fn with(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}-s3cret"))
}

#[tokio::test]
async fn nobody_is_told_to_bring_a_token() {
    let server = Server::start().await;
    let instance = start(&server).await;
    let client = Client::new();
    for authorization in [
        None,
        Some("Bearer"),
        Some("Bearer wrong-s3cret"),
        Some("Bearer reader-s3cre"),
        Some("Basic reader-s3cret"),
    ] {
        let sent = |request: Request| match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        };
        for line in [
            "GET /v1/cache/one/k",
            "HEAD /v1/cache/one/k",
            "PUT /v1/cache/one/k",
            "DELETE /v1/cache/one/k",
            "PURGE /v1/cache/one/k",
            "GET /v1/cache/one?keys=a",
            "GET /v1/cache/nope/k",
            "POST /v1/warm/one",
            "POST /v1/invalidate",
            "POST /v1/events",
        ] {
            let (method, path) = line.split_once(' ').expect("a method and a path");
            let request = sent(instance.request(method, path));
            if method == "HEAD" {
                let answer = request.send().await;
                assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
            } else {
                refused(line, request, 401, "unauthorized").await;
            }
        }
        for line in [
            "GET /",
            "GET /stats",
            "POST /stats/reset",
            "GET /events",
            "GET /v1/rights",
            "POST /v1/invalidate",
            "GET /v1/writes/dead",
        ] {
            let (method, path) = line.split_once(' ').expect("a method and a path");
            let request = sent(client.request(method, &instance.admin_url(path)));
            refused(line, request, 401, "unauthorized").await;
        }
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(sent(client.get(&instance.admin_url(path))).send().await.status, 200, "{path}");
        }
        for path in ["/healthz", "/readyz"] {
            assert_eq!(sent(instance.request("GET", path)).send().await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_rights_in_its_namespaces_and_for_nothing_else() {
    let server = Server::start().await;
    let instance = start(&server).await;
    let client = Client::new();
    for (line, allowed) in [
        ("GET /v1/cache/one/k", &["reader", "two"][..]),
        ("GET /v1/cache/two/k", &["two"]),
        ("GET /v1/cache/one?keys=a,b", &["reader", "two"]),
        ("PUT /v1/cache/one/k", &["writer", "two"]),
        ("PUT /v1/cache/two/k", &["two"]),
        ("DELETE /v1/cache/one/k", &["writer", "two"]),
        ("POST /v1/warm/one", &["writer", "two"]),
        ("POST /v1/warm/two", &["two"]),
        ("PURGE /v1/cache/one/k", &["publisher", "two", "everywhere"]),
        ("PURGE /v1/cache/two/k", &["two", "everywhere"]),
        // What is not there is nobody's business who has no right to it.
        ("GET /v1/cache/nope/k", &[]),
        ("PURGE /v1/cache/nope/k", &["everywhere"]),
    ] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        for (token, ..) in TOKENS {
            let request = with(instance.request(method, path), token);
            let name = format!("{token}: {line}");
            if allowed.contains(&token) {
                let answer = request.send().await;
                assert!(!matches!(answer.status, 401 | 403), "{name}: {answer:?}");
            } else {
                let answer = refused(&name, request, 403, "forbidden").await;
                assert!(!answer.text().contains("s3cret"), "{name}: {answer:?}");
            }
        }
    }
    for line in ["GET /", "GET /stats", "POST /stats/reset"] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        for (token, ..) in TOKENS {
            let request = with(client.request(method, &instance.admin_url(path)), token);
            if token == "operator" {
                assert!(request.send().await.status < 300, "{line}");
            } else {
                refused(&format!("{token}: {line}"), request, 403, "forbidden").await;
            }
        }
    }
    assert!(!instance.output().contains("s3cret"), "{}", instance.output());
}

#[tokio::test]
async fn an_event_needs_the_right_to_all_that_it_names() {
    let server = Server::start().await;
    let instance = start(&server).await;
    for (event, allowed) in [
        (json!({ "namespace": "one", "keys": ["k"] }), &["publisher", "two", "everywhere"][..]),
        (json!({ "namespace": "two", "prefixes": ["k/"] }), &["two", "everywhere"]),
        (json!({ "namespace": "two", "all": true }), &["two", "everywhere"]),
        (json!({ "namespace": "one", "keys": ["k"], "tags": ["t"] }), &["everywhere"]),
        (json!({ "tags": ["t"] }), &["everywhere"]),
        (json!({ "all": true }), &["everywhere"]),
    ] {
        for (token, ..) in TOKENS {
            let before = server.command(&["XLEN", "coherd:{main}:log"]).await.integer();
            let request = with(instance.invalidate("", &event), token);
            let logged = if allowed.contains(&token) {
                assert_eq!(request.send().await.status, 202, "{token}: {event}");
                1
            } else {
                refused(&format!("{token}: {event}"), request, 403, "forbidden").await;
                0
            };
            let after = server.command(&["XLEN", "coherd:{main}:log"]).await.integer();
            assert_eq!(after - before, logged, "{token}: {event}");
        }
    }
    // One of its events that it may not publish, and a batch is refused.
    for (token, status, logged) in [("publisher", 403, 0), ("two", 202, 2)] {
        let event = |id: &str, namespace: &str| {
            let data = json!({ "namespace": namespace, "keys": ["k"] });
            json!({ "specversion": "1.0", "id": format!("{token}-{id}"), "source": "s", "type": "t", "data": data })
        };
        let before = server.command(&["XLEN", "coherd:{main}:log"]).await.integer();
        let request = instance
            .request("POST", "/v1/events")
            .header("content-type", "application/cloudevents-batch+json");
        let batch = json!([event("1", "one"), event("2", "two")]);
        assert_eq!(with(request, token).body(batch.to_string()).send().await.status, status, "{token}");
        let after = server.command(&["XLEN", "coherd:{main}:log"]).await.integer();
        assert_eq!(after - before, logged, "{token}");
    }
    for name in ["surrogate-key", "cache-tag"] {
        let by_header = || instance.request("POST", "/v1/invalidate").header(name, "t");
        refused(name, with(by_header(), "two"), 403, "forbidden").await;
        assert_eq!(with(by_header(), "everywhere").send().await.status, 202);
    }
}
