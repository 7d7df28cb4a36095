//! An instance that was told to stop, while a balancer has not noticed yet.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::harness::http::Client;
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn it_says_so_and_still_answers_whoever_comes_until_its_time_is_over() {
    // As long as the longest that anything here waits for: what is asserted must come before.
    let setup = Setup::new(1).set("instance.lame_duck", "3s").set("instance.shutdown_grace", "10s");
    let mut cluster = Cluster::with(setup).await;
    cluster.origin.set("k", 1);
    let instance = &mut cluster.nodes[0].instance;
    let (kept, two) = (Client::keeping(), Client::http2());
    let url = instance.url(&format!("/v1/cache/{NAMESPACE}/k"));
    let before = kept.get(&url).send().await;
    assert_eq!((before.status, before.header("connection")), (200, None));

    instance.terminate();
    for listener in [instance.url("/readyz"), instance.admin_url("/readyz")] {
        eventually("it is not ready", SOON, async || kept.get(&listener).send().await.status == 503).await;
    }
    assert_eq!(instance.readyz().await.1["reasons"], json!(["draining"]));
    for client in [&kept, &Client::new()] {
        let answer = client.get(&url).send().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    let answer = two.get(&url).send().await;
    assert_eq!((answer.status, answer.header("connection")), (200, None), "HTTP/2 knows no such header");
    let purged = instance.request("PURGE", &format!("/v1/cache/{NAMESPACE}/k")).send().await;
    assert_eq!(purged.status, 200, "it still follows and writes the log");

    eventually("new connections are refused", SOON, async || {
        let refused = TcpStream::connect(instance.addr()).await;
        refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    })
    .await;
    assert_eq!(instance.exit(Duration::from_secs(10)).await.code(), Some(0));
}
