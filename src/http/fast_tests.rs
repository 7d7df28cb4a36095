//! What is plain and what is not, and that it makes no difference to the client.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_util::sync::CancellationToken;

use super::super::connection::Stop;
use super::super::front::Front;
use super::super::rest::Rest;
use super::super::socket_tests::{TestDesk, patient};
use super::super::{Settings, talk};
use super::*;

const PLAIN: &str = "GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n";
const LAST: &str = "GET /v1/cache/u/last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// What of it is for the fast path, if anything: method, path, headers and body, and what is left.
fn taken(text: &str) -> Option<(Request<Full<Bytes>>, Bytes)> {
    let mut fast = Fast { read: Bytes::copy_from_slice(text.as_bytes()), ..Fast::default() };
    let request = fast.next().ok()?;
    Some((request, fast.into_read()))
}

#[test]
fn a_request_that_is_whole_is_taken_and_what_follows_is_left() {
    let text = format!(
        "\r\nPUT /v1/cache/u/1?mode=through HTTP/1.1\r\nHost: x\r\nX: a\r\nX: b\r\nConnection: Keep-Alive\r\n\
         Content-Length: 3\r\n\r\nabc{PLAIN}"
    );
    let (request, left) = taken(&text).expect("it is plain");
    assert_eq!((request.method(), &left), (&Method::PUT, &Bytes::from(PLAIN)));
    assert_eq!(request.uri().path_and_query().unwrap(), "/v1/cache/u/1?mode=through");
    assert_eq!(request.headers().get_all("x").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(format!("{:?}", request.body()), format!("{:?}", Full::new(Bytes::from("abc"))));
}

#[test]
fn whatever_is_not_plain_is_left_as_it_is() {
    let get = |headers: &str| format!("GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let many = "x: y\r\n".repeat(HEADERS_MAX);
    for text in [
        PLAIN.replace("host", &"h".repeat(STEP)).replace("\r\n\r\n", "\r\n"),
        get("content-length: 1\r\n"),
        get("content-length: 0\r\ncontent-length: 0\r\n"),
        get("content-length: +1\r\n") + "a",
        get("content-length: \r\n"),
        get("content-length: 99999999999999999999\r\n"),
        get("transfer-encoding: chunked\r\n") + "0\r\n\r\n",
        get("Transfer-Encoding: identity\r\ncontent-length: 0\r\n"),
        get("expect: 100-continue\r\n"),
        get("connection: close\r\n"),
        get("connection: keep-alive, upgrade\r\n"),
        get("upgrade: h2c\r\n"),
        get("x : y\r\n"),
        get("x: a\r\n b\r\n"),
        get(&many),
        PLAIN.replace("1.1", "1.0"),
        PLAIN.replace("/v1", "http://x/v1"),
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let mut fast = Fast { read: Bytes::copy_from_slice(text.as_bytes()), ..Fast::default() };
        assert!(fast.next().err() == Some(Not::Plain), "{text}");
        assert_eq!(fast.into_read(), text);
    }
}

#[test]
fn of_a_head_that_is_not_all_there_more_is_waited_for() {
    for length in 0..PLAIN.len() {
        let mut fast = Fast { read: Bytes::from_static(&PLAIN.as_bytes()[..length]), ..Fast::default() };
        assert!(fast.next().err() == Some(Not::Whole), "{length}");
    }
}

/// What a client gets that sends these pieces one after the other, each once the one before has been looked at.
async fn answered(pieces: &[&str]) -> String {
    let settings = Arc::new(Settings { clock: Clock::tokio(), ..patient() });
    let stop = Stop::new(CancellationToken::new());
    let (near, mut far) = duplex(256 * 1024);
    let front = Front::new(Arc::new(TestDesk::default()), Arc::clone(&settings), [127, 0, 0, 1].into());
    let rest = Rest::new(near, Bytes::new(), settings.clock.now());
    let abort = CancellationToken::new();
    let client = async {
        for piece in pieces {
            far.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        far.shutdown().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        text
    };
    let serving = async {
        let _over: Option<Rest<DuplexStream>> = talk::http1(rest, front, &settings, &abort, &stop).await;
    };
    let ((), text) = tokio::join!(serving, client);
    text
}

/// Answers without what differs from second to second, each with its headers in order.
fn compared(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split_inclusive("\r\n\r\n") {
        let mut lines: Vec<&str> =
            part.split("\r\n").filter(|line| !line.starts_with("date: ") && !line.is_empty()).collect();
        // a body stands before the next answer's status
        lines.sort_unstable();
        parts.push(lines.join("\n"));
    }
    parts
}

#[tokio::test(start_paused = true)]
async fn it_answers_as_hyper_does() {
    let put = "PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    for first in [
        PLAIN,
        put,
        "PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n",
        "HEAD /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n",
        "HEAD /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
        "DELETE /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n",
        "DELETE /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab",
        "GET /v1/cache/u/1 HTTP/1.1\r\n\r\n",
        "GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        "GET /v1/cache/u/%ff HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v1/cache/u/panic HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v1/cache/u/never HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n",
        "BREW /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let whole = answered(&[&format!("{first}{LAST}")]).await;
        // In pieces it is the same, and behind a request of an older HTTP all that follows is hyper's.
        let (begin, end) = first.split_at(7);
        assert_eq!(compared(&answered(&[begin, end, LAST]).await), compared(&whole), "{first}");
        let older = "GET /v1/cache/u/1 HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n";
        let by_hyper = answered(&[&format!("{older}{first}{LAST}")]).await;
        let (_, by_hyper) = by_hyper.split_once("\r\n\r\nv").expect("an answer to the older");
        assert_eq!(compared(&whole), compared(by_hyper), "{first}");
        assert_eq!(whole.matches("HTTP/1.1 ").count(), 2, "{first}: {whole}");
        assert_eq!(whole.matches("\r\ndate: ").count(), 2);
        assert!(whole.ends_with("\r\n\r\nv"), "{whole}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_answers_and_many_at_once_come_whole_and_in_order() {
    let large = "GET /v1/cache/u/large HTTP/1.1\r\nhost: x\r\n\r\n";
    let text = answered(&[&format!("{PLAIN}{large}{}", PLAIN.repeat(99)), LAST]).await;
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 102);
    assert_eq!(text.bytes().filter(|byte| *byte == b'x').count() % 1024, 0);
    assert_eq!(text.split("\r\n\r\n").filter(|part| part.starts_with(&"x".repeat(64 << 20))).count(), 1);
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_it_and_none_are_lost(bytes: Vec<u8>, body in 0_usize..20, tail: Vec<u8>) {
        let begin = format!("PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: {body}\r\n\r\n");
        for text in [bytes.clone(), [begin.as_bytes(), &vec![b'.'; body], &tail].concat()] {
            let mut fast = Fast { read: Bytes::from(text.clone()), ..Fast::default() };
            let taken = fast.next().is_ok();
            let left = fast.into_read();
            proptest::prop_assert!(text.ends_with(&left));
            proptest::prop_assert!(taken || left == text);
            proptest::prop_assert!(!text.starts_with(begin.as_bytes()) || left == tail);
        }
    }
}
