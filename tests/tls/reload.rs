//! Certificates that are renewed under a running instance: no connection is dropped, and what does not fit is not shown.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use tokio::sync::watch;

use super::{Kept, alone};
use crate::harness::certificates::{Authority, Issued};
use crate::harness::http::Client;
use crate::harness::instance::Instance;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

/// Turns `..data` to another folder at once, as Kubernetes does with a secret that has changed.
fn turn(volume: &Path, to: &str) {
    let (new, data) = (volume.join("..data_tmp"), volume.join("..data"));
    symlink(to, &new).expect("a link can be made");
    fs::rename(&new, &data).expect("a link can be put in place of another");
}

async fn shows(instance: &Instance, authority: &Authority, issued: &Issued) -> bool {
    let shown = Kept::connect(instance, &authority.file()).await.shown();
    fs::read_to_string(&issued.cert).expect("the certificate was made") == pem_of(&shown)
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[tokio::test]
async fn a_secret_that_is_exchanged_is_shown_to_whoever_comes_and_drops_no_connection() {
    let (authority, volume) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let volume = volume.path();
    let first = authority.issue(&volume.join("first"));
    let second = authority.issue(&volume.join("second"));
    turn(volume, "first");
    let linked = Issued { cert: volume.join("..data/cert.pem"), key: volume.join("..data/key.pem") };
    let instance = Instance::start(alone(&linked, &authority)).await;
    assert_eq!(instance.put("aside", "k", "v").send().await.status, 200);
    let mut kept = Kept::connect(&instance, &authority.file()).await;
    assert!(shows(&instance, &authority, &first).await);

    // Others come all the while, each with a handshake of its own.
    let (stop, stopped) = watch::channel(false);
    let (client, url) = (Client::trusting(&authority.file()), instance.url("/v1/cache/aside/k"));
    let others = spawn(async move {
        let mut served = 0_u32;
        while !*stopped.borrow() {
            let answer = client.get(&url).send().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            served += 1;
        }
        served
    });
    turn(volume, "second");
    eventually("the other certificate is shown", SOON, async || shows(&instance, &authority, &second).await)
        .await;
    assert_eq!(kept.ask("/v1/cache/aside/k").await, "HTTP/1.1 200 OK", "the one that was open stays open");
    turn(volume, "first");
    eventually("the first one is shown again", SOON, async || shows(&instance, &authority, &first).await)
        .await;
    assert_eq!(kept.ask("/v1/cache/aside/k").await, "HTTP/1.1 200 OK");
    stop.send_replace(true);
    let served = others.await.expect("nobody was refused");
    assert!(4 < served, "{served} others were served meanwhile");
    assert!(instance.output().contains("another certificate is shown from now on"), "{}", instance.output());
}

#[tokio::test]
async fn a_pair_that_does_not_fit_is_told_and_not_shown() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let good = authority.issue(&folder.path().join("shown"));
    let next = authority.issue(&folder.path().join("next"));
    let kept = Issued { cert: folder.path().join("kept.pem"), ..next.clone() };
    fs::copy(&good.cert, &kept.cert).expect("a file can be copied");
    let instance = Instance::start(alone(&good, &authority)).await;
    let degraded = async |what: serde_json::Value| instance.readyz().await == (200, what);
    let document = |degraded: &[&str]| json!({ "ready": true, "reasons": [], "degraded": degraded });
    assert!(degraded(document(&[])).await);

    fs::copy(&next.key, &good.key).expect("a file can be copied");
    eventually("it is told", SOON, async || degraded(document(&["certificate_refused"])).await).await;
    assert!(instance.output().contains("is not that of the certificate in"), "{}", instance.output());
    assert!(shows(&instance, &authority, &kept).await, "the one before goes on");

    fs::remove_file(&good.cert).expect("a file can be removed");
    eventually("that it is gone is told", SOON, async || instance.output().contains("cannot be read")).await;
    assert!(shows(&instance, &authority, &kept).await, "the one before goes on");

    fs::copy(&next.cert, &good.cert).expect("a file can be copied");
    eventually("all is well again", SOON, async || degraded(document(&[])).await).await;
    assert!(shows(&instance, &authority, &next).await);

    let again = "the certificate is that which is shown already";
    assert!(!instance.output().contains(again), "nobody asked");
    instance.hang_up();
    eventually("who asks is told", SOON, async || instance.output().contains(again)).await;
    assert!(instance.is_ready().await);
}
