//! Clients that ask for much and read nothing of it.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{assert_grown_less, connect_narrow, others_are_served, resident, start};
use crate::harness::instance::Instance;
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn a_large_answer_is_held_once_however_many_do_not_read_it() {
    let instance = start(&[]).await;
    let large = "v".repeat(4 << 20);
    assert_eq!(instance.put("aside", "large", &large).send().await.status, 200);
    assert_eq!(instance.get("aside", "large").send().await.text().len(), large.len());
    let before = resident(&instance);
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut stream = connect_narrow(instance.addr()).await;
        let request = "GET /v1/cache/aside/large HTTP/1.1\r\nhost: h\r\n\r\n";
        // Pipelined: none of them is asked for before the one in front of it is read.
        stream.write_all(request.repeat(20).as_bytes()).await.expect("it is sent");
        readers.push(stream);
    }
    others_are_served(&instance).await;
    assert_grown_less(&instance, before, 96);
    let_go(&instance, readers.len()).await;
    others_are_served(&instance).await;
}

/// Waits until the instance has closed the connections that nobody else has closed.
async fn let_go(instance: &Instance, connections: usize) {
    let most = f64::from(u32::try_from(connections).expect("a few"));
    eventually("they are let go", SOON, async || {
        instance.metric("process_open_fds").await.is_some_and(|open| open < most)
    })
    .await;
}

#[tokio::test]
async fn followers_that_read_nothing_are_dropped() {
    let instance = start(&[]).await;
    let before = resident(&instance);
    let mut followers = Vec::new();
    for _ in 0..50 {
        let mut stream = connect_narrow(instance.admin_addr()).await;
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is sent");
        followers.push(stream);
    }
    let keys: Vec<_> = (0..1000).map(|number| format!("{number:0>200}")).collect();
    let event = json!({ "namespace": "aside", "keys": keys });
    for _ in 0..60 {
        let published = instance.invalidate("", &event).send().await;
        assert_eq!(published.status, 202, "{published:?}");
    }
    others_are_served(&instance).await;
    assert_grown_less(&instance, before, 160);
    let_go(&instance, followers.len()).await;
    others_are_served(&instance).await;
}
