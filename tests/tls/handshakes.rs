//! Clients that do not finish a handshake: they hold a place for as long as a header may take, and no stop.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::alone;
use crate::harness::certificates::Authority;
use crate::harness::instance::Instance;
use crate::harness::wait::SOON;

/// The head of a record that announces a handshake of 512 bytes, and no more of it.
const BEGUN: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[tokio::test]
async fn a_handshake_that_is_not_finished_ends_with_the_time_of_a_header() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let config = alone(&authority.issue(folder.path()), &authority).set("server.header_timeout", "1s");
    let instance = Instance::start(config).await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(instance.addr()).await.expect("the instance accepts");
        if number % 2 == 0 {
            stream.write_all(BEGUN).await.expect("it is sent");
        }
        silent.push(stream);
    }
    let put = instance.put("aside", "k", "served meanwhile").send().await;
    assert_eq!(put.status, 200, "{put:?}");
    for mut stream in silent {
        let end = timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "still open after {:?}", began.elapsed());
    }
    assert!(Duration::from_millis(900) < began.elapsed(), "they were not given their time");
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_holds_up_no_stop() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let mut instance = Instance::start(alone(&authority.issue(folder.path()), &authority)).await;
    let mut open = TcpStream::connect(instance.addr()).await.expect("the instance accepts");
    open.write_all(BEGUN).await.expect("it is sent");
    let mut kept = super::Kept::connect(&instance, &authority.file()).await;
    assert_eq!(kept.ask("/healthz").await, "HTTP/1.1 200 OK");
    instance.terminate();
    // Less than `header_timeout`, which the handshake would have had, and than `shutdown_grace`.
    assert!(instance.exit(Duration::from_secs(8)).await.success());
    assert!(!instance.output().contains("cut off"), "{}", instance.output());
}
