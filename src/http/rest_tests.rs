//! Connections that are put to rest between two requests: nothing of it is to be seen from outside.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::Stop;
use super::front::Front;
use super::rest::{Rest, Spoken};
use super::socket_tests::{PATIENCE, TestDesk, patient, rest, serve_until, settings, until};
use super::watch::REST_AFTER;
use super::{Settings, talk};
use crate::clock::Clock;

const REQUEST: &[u8] = b"GET /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\n\r\n";
const PUT: &[u8] = b"PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nv";

/// Asks as often as there are answers to read, and checks each of them.
async fn answered(stream: &mut TcpStream, times: usize) {
    let mut text = String::new();
    let reading = async {
        while text.matches("\r\n\r\nv").count() < times {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "closed after {text:?}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    };
    timeout(PATIENCE, reading).await.expect("no answer");
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), times, "{text}");
    assert!(!text.contains("connection:"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_taken_back_with_all_that_was_read_of_it() {
    let settings = Arc::new(Settings { clock: Clock::tokio(), ..patient() });
    let (abort, stop) = (CancellationToken::new(), Stop::new(CancellationToken::new()));
    // Nothing more, half a request, and what some clients put behind one.
    for behind in ["", "GET /v1/cache/u/1 HT", "\r\n"] {
        let (near, mut far) = tokio::io::duplex(1024);
        let front =
            Front::new(Arc::new(TestDesk::default()), Arc::clone(&settings), Ipv4Addr::LOCALHOST.into());
        let connection = Rest::new(near, Bytes::from_static(REQUEST), settings.clock.now());
        far.write_all(behind.as_bytes()).await.unwrap();
        let began = settings.clock.now();
        let taken = talk::http1(connection, front, &settings, &abort, &stop).await;
        let took = settings.clock.now().since(began);
        assert!((REST_AFTER..2 * REST_AFTER).contains(&took), "{took:?}");
        let (mut stream, read, since) = taken.expect("the connection is over").into_parts();
        assert_eq!((&*read, since), (behind.as_bytes(), began));
        stream.write_all(b"!").await.unwrap();
        let mut answer = [0; 1024];
        let mut length = 0;
        while !answer[..length].ends_with(b"v!") {
            length += far.read(&mut answer[length..]).await.unwrap();
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_being_closed_is_not_put_to_rest() {
    let settings = Arc::new(Settings { clock: Clock::tokio(), ..patient() });
    let (abort, stop) = (CancellationToken::new(), Stop::new(CancellationToken::new()));
    let (near, mut far) = tokio::io::duplex(1024);
    let front = Front::new(Arc::new(TestDesk::default()), Arc::clone(&settings), Ipv4Addr::LOCALHOST.into());
    // Of its body nothing is read: for a while what comes is dropped, so that the client gets its answer.
    let refused = "PUT /v1/cache/u/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n";
    let connection = Rest::new(near, Bytes::from(refused), settings.clock.now());
    let began = settings.clock.now();
    assert!(talk::http1(connection, front, &settings, &abort, &stop).await.is_none(), "it is at rest");
    assert!(REST_AFTER * 2 < settings.clock.now().since(began), "nobody lingered");
    let mut answer = [0; 12];
    far.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_begins_with_tells_what_it_speaks() {
    let settings = Arc::new(Settings { clock: Clock::tokio(), ..settings() });
    let stop = Stop::new(CancellationToken::new());
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (pieces, ends, spoken) in [
        (vec!["GET / HTTP/1.1"], false, Some(Spoken::Http1)),
        (vec!["P", "UT"], false, Some(Spoken::Http1)),
        (vec!["P"], true, Some(Spoken::Http1)),
        (vec!["P"], false, None),
        (vec![], true, None),
        (vec![], false, None),
        (vec![preface], false, Some(Spoken::Http2)),
        (vec![&preface[..10], &preface[10..]], false, Some(Spoken::Http2)),
        (vec!["PRI * HTTP/1.1\r\n"], false, Some(Spoken::Http1)),
    ] {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut connection = Rest::new(near, Bytes::new(), settings.clock.now());
        let said = async {
            for piece in &pieces {
                far.write_all(piece.as_bytes()).await.unwrap();
                sleep(Duration::from_millis(1)).await;
            }
            if ends {
                far.shutdown().await.unwrap();
            }
        };
        let (heard, ()) = tokio::join!(connection.greeted(&settings, &stop), said);
        assert_eq!(heard, spoken, "{pieces:?}");
        if spoken.is_some() {
            assert_eq!(connection.into_parts().1, pieces.concat());
        }
    }
}

#[tokio::test]
async fn requests_around_the_moment_of_rest_are_all_answered_on_the_same_connection() {
    const CONNECTIONS: usize = 80;
    const ROUNDS: usize = 40;
    let server = serve_until(patient(), Duration::ZERO).await;
    let client = |_| async {
        let mut stream = server.connect().await;
        stream.set_nodelay(true).unwrap();
        for _ in 0..ROUNDS {
            let about = rand::rng().random_range(0.85..1.15);
            sleep(REST_AFTER.mul_f64(about)).await;
            let request = if rand::random() { REQUEST } else { PUT };
            match rand::rng().random_range(0..3) {
                0 => {
                    stream.write_all(request).await.unwrap();
                    answered(&mut stream, 1).await;
                }
                // Two halves, perhaps on both sides of the moment.
                1 => {
                    let (first, second) = request.split_at(rand::rng().random_range(1..request.len()));
                    stream.write_all(first).await.unwrap();
                    sleep(Duration::from_micros(rand::rng().random_range(0..30_000))).await;
                    stream.write_all(second).await.unwrap();
                    answered(&mut stream, 1).await;
                }
                _ => {
                    let all = [REQUEST, PUT, REQUEST].concat();
                    let (first, second) = all.split_at(rand::rng().random_range(1..all.len()));
                    stream.write_all(first).await.unwrap();
                    tokio::task::yield_now().await;
                    stream.write_all(second).await.unwrap();
                    answered(&mut stream, 3).await;
                }
            }
        }
    };
    join_all((0..CONNECTIONS).map(client)).await;
}

#[tokio::test]
async fn a_connection_at_rest_hears_of_a_stop_with_its_next_answer_and_is_closed_with_the_rest() {
    let server = serve_until(patient(), REST_AFTER * 50).await;
    let (mut asks, mut is_silent) = (server.connect().await, server.connect().await);
    for stream in [&mut asks, &mut is_silent] {
        stream.write_all(REQUEST).await.unwrap();
        answered(stream, 1).await;
    }
    sleep(REST_AFTER * 2).await;
    server.stop.cancel();
    sleep(REST_AFTER * 2).await;
    asks.write_all(REQUEST).await.unwrap();
    assert!(until(&mut asks, "\r\n\r\nv").await.contains("\r\nconnection: close\r\n"));
    assert_eq!(rest(&mut asks).await, "");
    // It stays open for as long as anybody may still come.
    let early = timeout(REST_AFTER, is_silent.read(&mut [0])).await;
    assert!(early.is_err(), "closed before its time");
    assert_eq!(rest(&mut is_silent).await, "");
    assert_eq!(timeout(PATIENCE, server.run).await.unwrap().unwrap(), 0);
}
