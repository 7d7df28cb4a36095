//! Clients that are slow, endless, or flood: each is cut off, and the others do not notice.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::assert_refused;
use crate::harness::http::Response;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::wait::SOON;

/// One instance that has little patience.
async fn impatient() -> Cluster {
    let setup = Setup::new(1)
        .set("server.header_timeout", "400ms")
        .set("server.body_timeout", "400ms")
        .set("server.max_body", "64KiB")
        .set("namespaces.own.origin.kind", "none");
    let cluster = Cluster::with(setup).await;
    cluster.origin.set("k", 1);
    cluster
}

async fn connect(instance: &Instance) -> TcpStream {
    TcpStream::connect(instance.addr()).await.expect("the instance takes connections")
}

/// Everything until the instance closes the connection.
async fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let ended = timeout(SOON, stream.read_to_end(&mut answer)).await;
    // A reset ends it too: the instance need not read what it has refused.
    ended.unwrap_or_else(|_| panic!("the connection is still open after {SOON:?}")).ok();
    answer
}

/// An answer as it was on the wire.
fn parsed(bytes: &[u8]) -> Response {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let body = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => &bytes[length..],
        other => panic!("{other:?}: {:?}", String::from_utf8_lossy(bytes)),
    };
    let headers = head.headers.iter().map(|header| {
        let name = header.name.parse::<hyper::header::HeaderName>().expect("a name");
        (name, hyper::header::HeaderValue::from_bytes(header.value).expect("a value"))
    });
    let status = head.code.expect("a status");
    Response { status, headers: headers.collect(), body: body.to_vec().into() }
}

/// Others are answered, and the process is the one it was.
async fn others_are_served(cluster: &Cluster, process: Option<u32>) {
    let instance = cluster.instance(0);
    assert_eq!(instance.get(NAMESPACE, "k").send().await.status, 200);
    assert_eq!(instance.process_id(), process);
}

#[tokio::test]
async fn who_does_not_send_the_whole_header_in_time_is_cut_off() {
    let cluster = impatient().await;
    let process = cluster.instance(0).process_id();
    for begun in ["", "GET", "GET /v1/cache/things/k HTTP/1.1\r\nHost: h\r\nX-", "PRI * HTTP/2.0\r\n"] {
        let mut stream = connect(cluster.instance(0)).await;
        stream.write_all(begun.as_bytes()).await.expect("it takes the beginning");
        let answer = to_the_end(&mut stream).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
        others_are_served(&cluster, process).await;
    }
    // A byte now and then makes no difference.
    let mut stream = connect(cluster.instance(0)).await;
    stream
        .write_all(b"GET /v1/cache/things/k HTTP/1.1\r\nHost: h\r\n")
        .await
        .expect("it takes the beginning");
    let (mut reader, mut writer) = stream.split();
    let dripping = async {
        while writer.write_all(b"x-drip: 1\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut answer = Vec::new();
    let ended = async { drop(reader.read_to_end(&mut answer).await) };
    timeout(SOON, async { tokio::join!(dripping, ended) }).await.expect("it is cut off");
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    others_are_served(&cluster, process).await;
}

#[tokio::test]
async fn who_does_not_send_the_whole_body_in_time_is_refused() {
    let cluster = impatient().await;
    let process = cluster.instance(0).process_id();
    for begun in [
        "PUT /v1/cache/own/k HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf",
        "PUT /v1/cache/own/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "POST /v1/invalidate HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"tags\"",
        "POST /v1/cache/things HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"keys\"",
    ] {
        let mut stream = connect(cluster.instance(0)).await;
        stream.write_all(begun.as_bytes()).await.expect("it takes the beginning");
        let answer = parsed(&to_the_end(&mut stream).await);
        assert_refused(begun, &answer, 408, "request_timeout");
        others_are_served(&cluster, process).await;
    }
    let own = cluster.instance(0).get("own", "k").send().await;
    assert_eq!(own.status, 404, "half a value is none");
}

#[tokio::test]
async fn a_body_without_end_is_refused_once_it_is_too_large() {
    let cluster = impatient().await;
    let process = cluster.instance(0).process_id();
    let head = "PUT /v1/cache/own/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let mut stream = connect(cluster.instance(0)).await;
    stream.write_all(format!("{head}{}", chunk.repeat(17)).as_bytes()).await.expect("it takes the beginning");
    assert_refused("a body that goes on", &parsed(&to_the_end(&mut stream).await), 413, "too_large");
    others_are_served(&cluster, process).await;

    // Who never stops to listen is cut off all the same.
    let mut stream = connect(cluster.instance(0)).await;
    stream.write_all(head.as_bytes()).await.expect("it takes the beginning");
    let sent = timeout(SOON, sent_until_cut_off(&mut stream, chunk.as_bytes())).await.expect("it is cut off");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    others_are_served(&cluster, process).await;
}

/// Sends the same again and again; how many bytes until the connection was gone.
async fn sent_until_cut_off(stream: &mut TcpStream, again: &[u8]) -> usize {
    let mut sent = 0;
    while stream.write_all(again).await.is_ok() {
        sent += again.len();
    }
    sent
}

#[tokio::test]
async fn a_flood_of_headers_is_cut_off() {
    let cluster = impatient().await;
    let process = cluster.instance(0).process_id();
    let begin = "GET /v1/cache/things/k HTTP/1.1\r\nHost: h\r\n";
    let many: String =
        (0..1000).flat_map(|number| ["x-".to_owned(), number.to_string(), ": 1\r\n".to_owned()]).collect();
    let large = format!("x-large: {}\r\n", "x".repeat(200 << 10));
    for headers in [many, large] {
        let mut stream = connect(cluster.instance(0)).await;
        // It may be refused before all of it is sent.
        stream.write_all(format!("{begin}{headers}\r\n").as_bytes()).await.ok();
        let answer = to_the_end(&mut stream).await;
        assert!(answer.is_empty() || parsed(&answer).status == 431, "{:?}", String::from_utf8_lossy(&answer));
        others_are_served(&cluster, process).await;
    }
    // One that never ends.
    let mut stream = connect(cluster.instance(0)).await;
    stream.write_all(format!("{begin}x-endless: ").as_bytes()).await.expect("it takes the beginning");
    let sent = timeout(SOON, sent_until_cut_off(&mut stream, &[b'x'; 4096])).await.expect("it is cut off");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    others_are_served(&cluster, process).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let cluster = impatient().await;
    let process = cluster.instance(0).process_id();
    for sent in [
        "nonsense\r\n\r\n",
        "GET /v1/cache/things/k HTTP/9.9\r\n\r\n",
        "GET /v1/cache/things/k HTTP/1.1\r\nbad header\r\n\r\n",
        "PUT /v1/cache/own/k HTTP/1.1\r\nHost: h\r\nContent-Length: nine\r\n\r\n",
        "PUT /v1/cache/own/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ] {
        let mut stream = connect(cluster.instance(0)).await;
        stream.write_all(sent.as_bytes()).await.expect("it takes it");
        let answer = to_the_end(&mut stream).await;
        assert!(
            answer.is_empty() || parsed(&answer).status == 400,
            "{sent:?}: {:?}",
            String::from_utf8_lossy(&answer)
        );
        others_are_served(&cluster, process).await;
    }
    let mut stream = connect(cluster.instance(0)).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "k".repeat(70 << 10));
    stream.write_all(long.as_bytes()).await.ok();
    let answer = to_the_end(&mut stream).await;
    assert!(
        answer.is_empty() || matches!(parsed(&answer).status, 414 | 431),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    others_are_served(&cluster, process).await;
}
