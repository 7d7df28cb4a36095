//! Bodies that fill the memory: many at once, in pieces of a byte, without an end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::{End, assert_grown_less, connect, flood, others_are_served, resident, start, to_the_end};
use crate::harness::wait::SOON;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn bodies_that_are_sent_all_at_once_find_no_more_room_than_there_is() {
    let instance = start(&[("server.body_timeout", "8s".into())]).await;
    let before = resident(&instance);
    let mut streams = Vec::new();
    for _ in 0..70 {
        let mut stream = connect(&instance).await;
        let head =
            format!("PUT /v1/cache/aside/k HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", 8 * MIB);
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        let piece = vec![b'v'; 64 << 10];
        // All but the last byte, so that each is held until its time is over.
        let pieces = std::iter::repeat_n(piece, 127);
        let end = flood(&mut stream, pieces).await;
        assert_ne!(end, End::Stuck);
        streams.push(stream);
    }
    // 560 MiB were offered, 256 MiB have room; the rest is what collecting them takes.
    assert_grown_less(&instance, before, 440);
    let read = instance.get("aside", "other").send().await;
    assert_eq!(read.text(), "value", "reads need no room");
    let answers = futures_util::future::join_all(streams.iter_mut().map(to_the_end)).await;
    let of = |status: &str| {
        answers.iter().filter(|answer| answer.starts_with(&format!("HTTP/1.1 {status} "))).count()
    };
    assert!(of("408") != 0 && of("503") != 0, "408: {}, 503: {}", of("408"), of("503"));
    assert!(answers.iter().all(|answer| answer.is_empty() || answer.contains("coherd-instance")));
    others_are_served(&instance).await;
}

#[tokio::test]
async fn a_body_in_pieces_of_a_byte_takes_no_more_than_another() {
    let instance = start(&[("server.body_timeout", "30s".into())]).await;
    let before = resident(&instance);
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&instance).await;
        let head = "PUT /v1/cache/aside/k HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        let pieces = std::iter::repeat_with(|| b"1\r\nv\r\n".repeat(10_000)).take(30);
        assert_eq!(flood(&mut stream, pieces).await, End::Sent);
        streams.push(stream);
    }
    others_are_served(&instance).await;
    assert_grown_less(&instance, before, 64);
    for stream in &mut streams {
        stream.write_all(b"0\r\nconnection: close\r\n\r\n").await.expect("it is sent");
        let mut head = [0; 12];
        let read = timeout(SOON, tokio::io::AsyncReadExt::read_exact(stream, &mut head)).await;
        assert!(read.expect("an answer comes").is_ok() && head.starts_with(b"HTTP/1.1 200"), "{head:?}");
    }
}

#[tokio::test]
async fn chunks_with_extensions_and_trailers_without_end_are_cut_off() {
    let instance = start(&[]).await;
    let before = resident(&instance);
    let head = b"PUT /v1/cache/aside/k HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for (name, begin, again) in [
        ("an extension", &b"1;"[..], &b"x=y;"[..]),
        ("an extension a chunk", b"", b"1;abcdefghijklmnopqrstuvwxyz=0123456789\r\nv\r\n"),
        ("a trailer", b"1\r\nv\r\n0\r\nx: ", b"yyyy"),
        ("trailers", b"1\r\nv\r\n0\r\n", b"x: y\r\n"),
        ("a length", b"", b"0"),
    ] {
        let mut stream = connect(&instance).await;
        let more = std::iter::repeat_with(|| again.repeat(4096)).take(1_000_000);
        let pieces = [head.clone(), begin.to_vec()].into_iter().chain(more);
        let end = timeout(SOON, flood(&mut stream, pieces)).await.unwrap_or(End::Sent);
        assert_eq!(end, End::CutOff, "{name}");
    }
    others_are_served(&instance).await;
    assert_grown_less(&instance, before, 32);
}

#[tokio::test]
async fn many_that_send_nearly_nothing_are_cut_off_and_hold_nobody_up() {
    let instance = start(&[]).await;
    let before = resident(&instance);
    let head = "GET /v1/cache/aside/k HTTP/1.1\r\nhost: h\r\nx: ";
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut stream = connect(&instance).await;
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        slow.push(stream);
    }
    others_are_served(&instance).await;
    let cut_off = slow.into_iter().map(async |mut stream| {
        while stream.write_all(b"y").await.is_ok() {
            sleep(Duration::from_millis(200)).await;
        }
    });
    timeout(SOON, futures_util::future::join_all(cut_off)).await.expect("they are cut off");
    others_are_served(&instance).await;
    assert_grown_less(&instance, before, 48);
}
