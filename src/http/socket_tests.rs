//! The listener against real sockets on loopback, with a desk that needs no cache.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::body::Body;
use super::front::{Allowance, Call, Sender};
use super::problem::{Code, Problem};
use super::routes::{self, DataRoute};
use super::*;

/// Longer than anything here takes; a test that waits so long has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Routes as the data listener does; answers by the key: `wait` once it is let, `panic`, `never`, `large`, else `v`.
#[derive(Default)]
pub(super) struct TestDesk {
    entered: Notify,
    let_go: Notify,
    dropped: AtomicUsize,
}

struct CountsDrop<'a>(&'a TestDesk);

impl Drop for CountsDrop<'_> {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Desk for TestDesk {
    type Route = DataRoute;

    fn route(&self, method: &Method, uri: &Uri) -> Result<DataRoute, Problem> {
        routes::data(method, uri)
    }

    async fn admit(&self, route: &DataRoute, sender: Sender<'_>) -> Result<Allowance, Problem> {
        if sender.headers.contains_key("x-refused") {
            return Err(Problem::new(Code::Forbidden, "refused"));
        }
        let body_max = if matches!(route, DataRoute::Put(..)) { 1000 } else { 0 };
        let never = matches!(route, DataRoute::Read(_, key) if &**key == "never");
        let time = if never { Duration::from_millis(50) } else { PATIENCE };
        Ok(Allowance { body_max, time: Some(time), headers: Vec::new() })
    }

    async fn answer(&self, route: DataRoute, call: Call) -> Result<Response<Body>, Problem> {
        let key = match route {
            DataRoute::Put(..) => return Ok(Response::new(Body::from(call.body))),
            DataRoute::Delete(..) => return Ok(super::reply::no_content()),
            DataRoute::Read(_, key) => key,
            _ => return Ok(Response::new(Body::from("other"))),
        };
        let _counts = CountsDrop(self);
        match &*key {
            "wait" => {
                self.entered.notify_one();
                self.let_go.notified().await;
            }
            "panic" => panic!("asked to"),
            "never" => std::future::pending().await,
            "large" => return Ok(Response::new(Body::from(vec![b'x'; 64 * 1024 * 1024]))),
            _ => {}
        }
        Ok(Response::new(Body::from("v")))
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    desk: Arc<TestDesk>,
    pub(super) stop: CancellationToken,
    pub(super) run: JoinHandle<usize>,
}

pub(super) fn settings() -> Settings {
    Settings {
        instance: "inst-a".to_owned(),
        cluster: "main".to_owned(),
        header_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_secs(5),
        shutdown_grace: Duration::from_secs(10),
        max_body: 1000,
        rooms: super::Rooms::for_bodies_of(1000),
        connections_max: 100,
        clock: Clock::Boottime,
    }
}

/// Nothing here is to end by a time-out of the server.
pub(super) fn patient() -> Settings {
    Settings { header_timeout: PATIENCE, body_timeout: PATIENCE, ..settings() }
}

async fn serve(settings: Settings) -> Server {
    serve_until(settings, Duration::ZERO).await
}

#[expect(clippy::disallowed_methods, reason = "tests have no supervisor")]
pub(super) async fn serve_until(settings: Settings, lame_duck: Duration) -> Server {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let desk = Arc::new(TestDesk::default());
    let spawn: Spawn = Arc::new(|_, work| drop(tokio::spawn(work)));
    let (desk_of, settings) = (Arc::clone(&desk), Arc::new(settings));
    let listener = Listener { name: "test", socket, desk: desk_of, settings, tls: None, spawn, lame_duck };
    let stop = CancellationToken::new();
    let run = tokio::spawn(listener.run(stop.clone()));
    Server { address, desk, stop, run }
}

impl Server {
    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads until the server closes it.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

/// Everything until the server closes.
pub(super) async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset ends it as well as a close does.
    let _end = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server did not close");
    String::from_utf8(bytes).unwrap()
}

/// Reads until `text` has been seen.
pub(super) async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "closed before `{text}`, after {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
    };
    timeout(PATIENCE, reading).await.expect("it did not come");
    String::from_utf8(seen).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn every_response_names_the_instance_and_has_a_cache_status() {
    let server = serve(patient()).await;
    for (request, status, code) in [
        (get("/v1/cache/u/1"), 200, None),
        (get("/nowhere"), 404, Some("not_found")),
        (get("/v1/cache/u/%ff"), 400, Some("bad_key")),
        (get("/v1/cache/u/panic"), 500, Some("internal")),
        (get("/v1/cache/u/never"), 503, Some("unavailable")),
        (get(&format!("/v1/cache/u?keys={}", "k".repeat(40_000))), 414, Some("uri_too_long")),
        (get("/v1/invalidate"), 405, Some("method_not_allowed")),
        (get("/v1/cache/u/1").replace("host: x", "host: x\r\nx-refused: 1"), 403, Some("forbidden")),
    ] {
        let text = server.say(&request).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request} → {text}");
        assert!(text.contains("\r\ncoherd-instance: inst-a\r\n"), "{text}");
        assert!(text.contains("\r\ncache-status: coherd\r\n"), "{text}");
        assert_eq!(text.contains("application/problem+json"), code.is_some(), "{text}");
        assert!(code.is_none_or(|code| text.contains(&format!("\"code\":\"{code}\""))), "{text}");
        assert_eq!(text.contains("\r\nallow: POST\r\n"), status == 405);
    }
}

#[tokio::test]
async fn head_has_the_length_of_the_body_and_no_body() {
    let server = serve(patient()).await;
    let text = server.say(&get("/v1/cache/u/1").replace("GET", "HEAD")).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("content-length: 1\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
    let text = server.say(&get("/v1/cache/u/1").replace("GET", "DELETE")).await;
    assert!(text.starts_with("HTTP/1.1 204 ") && !text.contains("content-length"), "{text}");
}

#[tokio::test]
async fn a_header_that_never_ends_is_cut_off() {
    let server = serve(settings()).await;
    // Nothing at all, a part of the preface of HTTP/2, a part of a header.
    for begin in ["", "PRI * HT", "GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "{begin}");
    }
    // The one that always has a little more to say.
    let mut stream = server.connect().await;
    let began = Instant::now();
    stream.write_all(b"GET /v1/cache/u/1 HTTP/1.1\r\n").await.unwrap();
    let mut buffer = [0; 64];
    let closed = timeout(PATIENCE, async {
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => return read,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            if stream.write_all(b"x: y\r\n").await.is_err() {
                return Ok(0);
            }
        }
    });
    assert!(matches!(closed.await.expect("the slow client is still served"), Ok(0) | Err(_)));
    assert!(Duration::from_millis(300) <= began.elapsed());
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_and_one_in_use_is_not() {
    let server = serve(settings()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /v1/cache/u/wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.desk.entered.notified().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    server.desk.let_go.notify_one();
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\nv"), "{text}");
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused() {
    let server = serve(settings()).await;
    let text = server.say("PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123").await;
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("\"request_timeout\""), "{text}");
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_announced_or_not() {
    let server = serve(patient()).await;
    let announced =
        "PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\nexpect: 100-continue\r\n\r\n";
    let text = server.say(announced).await;
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("\"too_large\""), "{text}");
    let chunks =
        "300\r\n".to_owned() + &"x".repeat(0x300) + "\r\n300\r\n" + &"x".repeat(0x300) + "\r\n0\r\n\r\n";
    let chunked =
        format!("PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    let mut stream = server.connect().await;
    stream.write_all(chunked.as_bytes()).await.unwrap();
    assert!(until(&mut stream, "too_large").await.starts_with("HTTP/1.1 413 "));
    let fits =
        format!("PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000));
    let mut stream = server.connect().await;
    stream.write_all(fits.as_bytes()).await.unwrap();
    assert!(until(&mut stream, &"x".repeat(1000)).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_refused_request_has_its_body_neither_asked_for_nor_read() {
    let server = serve(patient()).await;
    let request = "PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\nx-refused: 1\r\ncontent-length: 10\r\n\
        expect: 100-continue\r\n\r\n";
    let text = server.say(request).await;
    assert!(text.starts_with("HTTP/1.1 403 "), "{text}");
}

#[tokio::test]
async fn an_oversized_header_is_refused_or_cut_off() {
    let server = serve(patient()).await;
    let mut stream = server.connect().await;
    let request = format!("GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    // The server may close before all of it is sent.
    let _sent = stream.write_all(request.as_bytes()).await;
    let text = rest(&mut stream).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431 "), "{text}");
    assert_eq!(server.desk.dropped.load(Ordering::SeqCst), 0, "no handler ran");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = serve(patient()).await;
    let keep = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let text = server.say(&(keep("/v1/cache/u/1") + &keep("/nowhere") + &get("/v1/cache/u/2"))).await;
    let statuses: Vec<_> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_its_answer() {
    let server = serve(patient()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /v1/cache/u/wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    server.desk.entered.notified().await;
    server.desk.let_go.notify_one();
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\nv"), "{text}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = serve(settings()).await;
    let mut stream = server.connect().await;
    stream.write_all(get("/v1/cache/u/large").as_bytes()).await.unwrap();
    // Draining ends only because the connection does: the client holds it open and takes nothing.
    until(&mut stream, "coherd-instance").await;
    server.stop.cancel();
    assert_eq!(timeout(Duration::from_secs(8), server.run).await.expect("still connected").unwrap(), 0);
}

#[tokio::test]
async fn http2_needs_no_upgrade() {
    let server = serve(patient()).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let ask = |method: &str, path: &str, body: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", server.address))
            .body(Full::from(body))
            .unwrap();
        client.request(request)
    };
    let response = ask("PUT", "/v1/cache/u/1", "abc").await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, hyper::Version::HTTP_2));
    assert_eq!(response.headers()["coherd-instance"], "inst-a");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abc");
    let head = ask("HEAD", "/v1/cache/u/1", "").await.unwrap();
    assert_eq!(head.headers()["content-length"], "1");
    assert_eq!(head.into_body().collect().await.unwrap().to_bytes(), "");
    assert_eq!(ask("GET", "/v1/cache/u/panic", "").await.unwrap().status(), 500);
    assert_eq!(ask("GET", "/v1/cache/u/1", "").await.unwrap().status(), 200, "the connection lives on");
}

#[tokio::test]
async fn an_idle_connection_of_http2_is_closed() {
    let server = serve(settings()).await;
    let stream = server.connect().await;
    let io = hyper_util::rt::TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.unwrap();
    let asked = async {
        let uri = format!("http://{}/v1/cache/u/1", server.address);
        let request = Request::builder().uri(uri).body(Empty::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        sender
    };
    let ended = timeout(PATIENCE, async { tokio::join!(connection, asked) });
    ended.await.expect("an idle connection stays").0.unwrap();
}

#[tokio::test]
async fn beyond_the_limit_clients_are_turned_away_until_there_is_room() {
    let server = serve(Settings { connections_max: 1, ..patient() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut first, "\r\n\r\nv").await;
    let mut second = server.connect().await;
    let refusal = rest(&mut second).await;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    for part in [
        "Coherd-Instance: inst-a\r\n",
        "Cache-Status: coherd",
        "retry-after: 1\r\n",
        "\"code\":\"overloaded\"",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    drop(first);
    let third = async { while !server.say(&get("/v1/cache/u/1")).await.starts_with("HTTP/1.1 200 ") {} };
    timeout(PATIENCE, third).await.expect("the room was not given back");
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_body_nobody_wants_still_gets_its_answer() {
    let server = serve(patient()).await;
    let body = vec![b'x'; 8 << 20];
    for (header, answered) in [("", "HTTP/1.1 413 "), ("X-Refused: 1\r\n", "HTTP/1.1 403 ")] {
        let mut stream = server.connect().await;
        let head = format!(
            "PUT /v1/cache/u/1 HTTP/1.1\r\nHost: x\r\n{header}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(answered), "{answer}");
    }
}

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_closes_what_is_idle() {
    let server = serve(patient()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut idle, "\r\n\r\nv").await;
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /v1/cache/u/wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.desk.entered.notified().await;

    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("connections are still taken");
    assert!(!server.run.is_finished());
    server.desk.let_go.notify_one();
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(timeout(PATIENCE, server.run).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cut_off() {
    let server = serve(Settings { shutdown_grace: Duration::from_millis(50), ..patient() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /v1/cache/u/wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.desk.entered.notified().await;
    server.stop.cancel();
    assert_eq!(timeout(PATIENCE, server.run).await.unwrap().unwrap(), 1);
    assert_eq!(rest(&mut busy).await, "");
    assert_eq!(server.desk.dropped.load(Ordering::SeqCst), 1, "the handler is gone");
}

#[test]
fn an_instance_of_any_name_makes_a_header() {
    assert_eq!(settings().instance_header(), HeaderValue::from_static("inst-a"));
    assert_eq!(
        Settings { instance: "a\n".to_owned(), ..settings() }.instance_header(),
        HeaderValue::from_static("")
    );
}
