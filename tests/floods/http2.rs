//! Floods that HTTP/2 makes possible: headers without end, streams that are reset at once, frames that want an answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::frames::{
    ACK, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, frame, header, hello,
    request,
};
use super::{End, assert_grown_less, flood, others_are_served, resident, start};
use crate::harness::instance::Instance;
use crate::harness::wait::SOON;

const INITIAL_WINDOW: u16 = 4;

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let instance = start(&[]).await;
    let before = resident(&instance);
    let begin = frame(HEADERS, END_STREAM, 1, &request("GET", "/v1/cache/aside/k"));
    for (name, piece) in [("large", header(16_000)), ("empty", Vec::new()), ("small", header(200))] {
        let mut stream = hello(&instance, &[]).await;
        let more = std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, &piece)).take(100_000);
        let end = flood(&mut stream, std::iter::once(begin.clone()).chain(more)).await;
        assert_eq!(end, End::CutOff, "{name}");
        others_are_served(&instance).await;
    }
    assert_grown_less(&instance, before, 32);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_leave_nothing_behind() {
    let instance = start(&[]).await;
    let before = resident(&instance);
    let mut floods = Vec::new();
    for _ in 0..4 {
        let mut stream = hello(&instance, &[]).await;
        floods.push(async move {
            let pieces = (0..50_000_u32).map(|number| {
                let id = 2 * number + 1;
                let asked =
                    frame(HEADERS, END_STREAM | END_HEADERS, id, &request("GET", "/v1/cache/aside/other"));
                [asked, frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat()
            });
            flood(&mut stream, pieces).await
        });
    }
    let all = futures_util::future::join_all(floods);
    let ((), ends) = tokio::join!(others_are_served(&instance), all);
    assert!(ends.iter().all(|end| *end != End::Sent), "200,000 requests were taken: {ends:?}");
    others_are_served(&instance).await;
    assert_grown_less(&instance, before, 64);
}

#[tokio::test]
async fn frames_that_want_an_answer_from_a_client_that_does_not_read_are_no_longer_taken() {
    let instance = start(&[]).await;
    let before = resident(&instance);
    for (name, piece) in [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("settings that change", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
    ] {
        let mut stream = hello(&instance, &[]).await;
        // A thousand at once, or the sender would be the slower one.
        let pieces = std::iter::repeat_with(|| piece.repeat(1000)).take(20_000);
        let flooded = flood(&mut stream, pieces);
        let ((), end) = tokio::join!(others_are_served(&instance), flooded);
        assert_ne!(end, End::Sent, "{name}: twenty million were taken");
        others_are_served(&instance).await;
    }
    assert_grown_less(&instance, before, 64);
}

#[tokio::test]
async fn more_streams_than_are_allowed_are_refused() {
    let instance = start(&[]).await;
    let before = resident(&instance);
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = hello(&instance, &[]).await;
        let asked = (0..5000_u32).map(|number| {
            // A body is to follow, and never does.
            frame(HEADERS, END_HEADERS, 2 * number + 1, &request("PUT", "/v1/cache/aside/k"))
        });
        flood(&mut stream, asked).await;
        streams.push(stream);
    }
    others_are_served(&instance).await;
    assert_grown_less(&instance, before, 64);
    for stream in &mut streams {
        let end = timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "a connection whose bodies never come stays open");
    }
}

/// Reads frames and answers pings, and nothing else, until the connection ends.
async fn alive_but_not_reading(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return began.elapsed();
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return began.elapsed();
        }
        let answer = match (head[3], head[4] & ACK) {
            (PING, 0) => frame(PING, ACK, 0, &payload),
            (SETTINGS, 0) => frame(SETTINGS, ACK, 0, &[]),
            _ => continue,
        };
        if stream.write_all(&answer).await.is_err() {
            return began.elapsed();
        }
    }
}

/// A hundred streams of a large value on connections whose windows have room for so many bytes.
async fn held(instance: &Instance, window: u32) {
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut stream = hello(instance, &[(INITIAL_WINDOW, window)]).await;
        let asked = (0..100_u32).map(|number| {
            frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &request("GET", "/v1/cache/aside/large"))
        });
        assert_eq!(flood(&mut stream, asked).await, End::Sent);
        clients.push(alive_but_not_reading(stream));
    }
    let ended = timeout(SOON, futures_util::future::join_all(clients)).await;
    let ended =
        ended.unwrap_or_else(|_| panic!("with a window of {window} they hold their streams for ever"));
    assert!(ended.iter().all(|after| Duration::from_secs(1) < *after), "{ended:?}");
}

#[tokio::test]
async fn answers_that_a_client_gives_no_room_for_do_not_wait_for_ever() {
    let instance = start(&[]).await;
    let large = "v".repeat(3 << 20);
    assert_eq!(instance.put("aside", "large", &large).send().await.status, 200);
    assert_eq!(instance.get("aside", "large").send().await.text().len(), large.len());
    let before = resident(&instance);
    for window in [0, 1, 1000] {
        held(&instance, window).await;
        others_are_served(&instance).await;
        assert_grown_less(&instance, before, 96);
    }
}
