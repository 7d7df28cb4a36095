//! Requests that a proxy before this may read otherwise: each is refused, or means one thing and nothing is left over that
//! could be taken for a request of its own.

use tokio::io::AsyncWriteExt;

use super::{connect, others_are_served, start, to_the_end};
use crate::harness::http::Client;
use crate::harness::instance::Instance;

/// What is smuggled: it would show by a value that is gone.
const SMUGGLED: &str = "DELETE /v1/cache/aside/kept HTTP/1.1\r\nhost: h\r\n\r\n";

/// The statuses of all answers to these bytes.
async fn statuses(instance: &Instance, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(instance).await;
    stream.write_all(bytes).await.expect("it is sent");
    stream.shutdown().await.ok();
    let answers = to_the_end(&mut stream).await;
    let heads = answers.match_indices("HTTP/1.1 ");
    heads
        .filter_map(|(at, found)| answers.get(at + found.len()..at + found.len() + 3)?.parse().ok())
        .collect()
}

#[tokio::test]
async fn bodies_with_two_lengths_or_none_that_can_be_told_smuggle_nothing() {
    let instance = start(&[]).await;
    assert_eq!(instance.put("aside", "kept", "v").send().await.status, 200);
    let put = "PUT /v1/cache/aside/k HTTP/1.1\r\nhost: h\r\n";
    let length = SMUGGLED.len();
    let get = "GET /healthz HTTP/1.1\r\nhost: h\r\n";
    for (name, request) in [
        ("two lengths", format!("{put}content-length: {length}\r\ncontent-length: 0\r\n\r\n{SMUGGLED}")),
        ("a list of lengths", format!("{put}content-length: {length}, 0\r\n\r\n{SMUGGLED}")),
        ("a signed length", format!("{put}content-length: +{length}\r\n\r\n{SMUGGLED}")),
        ("a length that is none", format!("{put}content-length: 0x10\r\n\r\n{SMUGGLED}")),
        (
            "a length beyond all numbers",
            format!("{put}content-length: 99999999999999999999\r\n\r\n{SMUGGLED}"),
        ),
        ("an encoding that is none", format!("{put}transfer-encoding: xchunked\r\n\r\n{SMUGGLED}")),
        ("chunked not last", format!("{put}transfer-encoding: chunked, identity\r\n\r\n{SMUGGLED}")),
        (
            "chunked in HTTP/1.0",
            format!("{}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}", put.replace("1.1", "1.0")),
        ),
        ("a space before the colon", format!("{put}content-length : {length}\r\n\r\n{SMUGGLED}")),
        ("a folded line", format!("{put}x: y\r\n content-length: {length}\r\n\r\n{SMUGGLED}")),
        ("a line before any header", format!("PUT /v1/cache/aside/k HTTP/1.1\r\n host: h\r\n\r\n{SMUGGLED}")),
        ("a carriage return within", format!("{put}x: y\rcontent-length: {length}\r\n\r\n{SMUGGLED}")),
        ("a null within", format!("{put}x: y\0\r\n\r\n{SMUGGLED}")),
        ("a header that is no token", format!("{put}(x): y\r\n\r\n{SMUGGLED}")),
        ("a size with a prefix", format!("{put}transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{SMUGGLED}")),
        ("a signed size", format!("{put}transfer-encoding: chunked\r\n\r\n-1\r\n\r\n{SMUGGLED}")),
        (
            "a size beyond all numbers",
            format!("{put}transfer-encoding: chunked\r\n\r\n{}\r\n{SMUGGLED}", "f".repeat(17)),
        ),
        ("a size in two parts", format!("{put}transfer-encoding: chunked\r\n\r\n0 0\r\n\r\n{SMUGGLED}")),
        ("a chunk without its end", format!("{put}transfer-encoding: chunked\r\n\r\n1\r\nvv\r\n{SMUGGLED}")),
        (
            "a size that ends in a line feed",
            format!("{put}transfer-encoding: chunked\r\n\r\n0\n\r\n{SMUGGLED}"),
        ),
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned()),
        ("two hosts", format!("{get}host: other\r\n\r\n")),
        ("a version of its own", "GET /healthz HTTP/1.2\r\nhost: h\r\n\r\n".to_owned()),
        ("no version", "GET /healthz\r\n\r\n".to_owned()),
        ("a method that is no token", "G(T /healthz HTTP/1.1\r\nhost: h\r\n\r\n".to_owned()),
        ("a path that is none", "GET healthz HTTP/1.1\r\nhost: h\r\n\r\n".to_owned()),
        ("a space in the path", "GET /health z HTTP/1.1\r\nhost: h\r\n\r\n".to_owned()),
    ] {
        let statuses = statuses(&instance, request.as_bytes()).await;
        let refused = statuses.iter().all(|status| [400, 404, 408].contains(status)) && statuses.len() < 2;
        assert!(refused, "{name}: {statuses:?}");
        assert_eq!(instance.get("aside", "kept").send().await.status, 200, "{name}: it was smuggled");
    }
    // These mean one thing: the chunks say how long the body is, whatever a length says.
    for (name, lengths) in [
        ("a length first", "content-length: 3\r\ntransfer-encoding: chunked\r\n"),
        ("a length last", "transfer-encoding: chunked\r\ncontent-length: 3\r\n"),
    ] {
        let body = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
        let statuses = statuses(&instance, format!("{put}{lengths}\r\n{body}").as_bytes()).await;
        assert!(statuses.len() == 1 && [200, 400].contains(&statuses[0]), "{name}: {statuses:?}");
        assert_eq!(instance.get("aside", "kept").send().await.status, 200, "{name}: it was smuggled");
    }
    let line_feeds = "GET /healthz HTTP/1.1\nhost: h\n\n";
    let statuses = statuses(&instance, line_feeds.as_bytes()).await;
    assert!(statuses == [200] || statuses == [400], "{statuses:?}");
    others_are_served(&instance).await;
}

#[tokio::test]
async fn a_path_leads_nowhere_but_where_it_says() {
    let instance = start(&[("namespaces.other.origin.kind", "none".into())]).await;
    assert_eq!(instance.put("aside", "kept", "v").send().await.status, 200);
    let client = Client::new();
    for (line, status) in [
        ("DELETE /v1/cache/other/../aside/kept", 200),
        ("DELETE /v1/cache/other/%2e%2e/aside/kept", 200),
        ("DELETE /v1/cache/other/..%2faside%2fkept", 200),
        ("DELETE /v1/cache/other%2f..%2faside/kept", 404),
        ("DELETE /v1/cache/../cache/aside/kept", 404),
        ("DELETE /v1/cache//aside/kept", 404),
        ("DELETE //v1/cache/aside/kept", 404),
        ("DELETE /v1/cache/aside%00/kept", 404),
        ("DELETE /v1/cache/%61side/kept", 404),
        ("GET /v1/cache/aside/%C0%AEkept", 400),
        ("GET /v1/cache/aside/%ED%A0%80", 400),
        ("GET /v1/cache/aside/%", 400),
        ("GET /v1/cache/aside/%4", 400),
        ("GET /v1/cache/aside/%u0041", 400),
        ("GET /../../etc/passwd", 404),
        ("GET /v1/../stats", 404),
        ("GET /stats", 404),
        ("GET /metrics", 404),
        ("TRACE /v1/cache/aside/kept", 405),
    ] {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let request = format!("{method} {path} HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(statuses(&instance, request.as_bytes()).await, [status], "{line}");
        assert_eq!(instance.get("aside", "kept").send().await.status, 200, "{line}: it led there");
    }
    // The whole URL is as good as its path, whatever host it names; there is no way through to anybody.
    let absolute = "GET http://elsewhere.example/v1/cache/aside/kept HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(statuses(&instance, absolute.as_bytes()).await, [200]);
    for line in ["CONNECT elsewhere.example:80", "CONNECT /v1/cache/aside/kept", "OPTIONS *", "GET *"] {
        let request = format!("{line} HTTP/1.1\r\nhost: h\r\n\r\n{SMUGGLED}");
        let statuses = statuses(&instance, request.as_bytes()).await;
        assert!(
            statuses.first().is_some_and(|status| [400, 404, 405].contains(status)),
            "{line}: {statuses:?}"
        );
    }
    assert_eq!(client.get(&instance.url("/healthz")).send().await.status, 200);
}

#[tokio::test]
async fn an_upgrade_is_not_made() {
    let instance = start(&[]).await;
    for upgrade in ["websocket", "h2c", "tls/1.0"] {
        let request = format!(
            "GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: upgrade, http2-settings\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
        );
        assert_eq!(statuses(&instance, request.as_bytes()).await, [200], "{upgrade}");
    }
}
