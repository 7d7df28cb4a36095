//! The live tail: what is published is there at once, as text whatever it is, and never too much of it.

use serde_json::json;

use super::{assert_clean, open};
use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::wait::{SOON, eventually};

/// What would run, where a browser took it for markup.
const HOSTILE: &str = "<img src=x onerror=window.taken=1><script>window.taken=1</script>";

#[tokio::test]
async fn what_somebody_publishes_is_shown_at_once_and_is_only_ever_text() {
    let cluster = Cluster::start(2).await;
    let browser = open(cluster.instance(0)).await;
    browser.says("#tail-state", "following").await;
    let publish = async |event: serde_json::Value| {
        assert_eq!(cluster.instance(1).invalidate("", &event).send().await.status, 202);
    };
    publish(
        json!({ "namespace": NAMESPACE, "keys": ["eu/1", "eu/2"], "source": "billing", "reason": "paid" }),
    )
    .await;
    browser.says("#tail", "things: keys eu/1, eu/2").await;
    browser.says("#tail", "billing: paid").await;
    publish(json!({ "tags": ["<b>t</b>"], "soft": true })).await;
    browser.says("#tail", "soft tag <b>t</b>").await;

    publish(json!({ "namespace": NAMESPACE, "keys": [HOSTILE], "source": HOSTILE, "reason": HOSTILE })).await;
    browser.says("#tail", &format!("{HOSTILE}: {HOSTILE}")).await;
    browser.says("#tail", &format!("key {HOSTILE}")).await;
    browser.keys("#explain-key", HOSTILE).await;
    browser.click("#explain-form [type=submit]").await;
    browser.says("#explained", &format!("{NAMESPACE}/{HOSTILE}")).await;
    browser.says("#explained", &format!("key {NAMESPACE}/{HOSTILE}")).await;
    browser.keys("#targets", HOSTILE).await;
    browser.click("#invalidate-form [type=submit]").await;
    browser.says("#confirm", HOSTILE).await;
    let found =
        browser.run("return [document.images.length, document.scripts.length, window.taken ?? null]").await;
    assert_eq!(found, json!([0, 1, null]));
    assert_clean(&browser, cluster.instance(0)).await;
}

#[tokio::test]
async fn it_can_be_stopped_and_holds_so_many_lines_and_no_more() {
    let cluster = Cluster::start(1).await;
    let browser = open(cluster.instance(0)).await;
    browser.says("#tail-state", "following").await;
    let publish = async |key: &str| {
        let event = json!({ "namespace": NAMESPACE, "keys": [key] });
        assert_eq!(cluster.instance(0).invalidate("", &event).send().await.status, 202);
    };
    publish("before").await;
    browser.says("#tail", "key before").await;
    browser.click("#tail-pause").await;
    publish("meanwhile").await;
    browser.says("#tail-state", "paused, 1 line waiting").await;
    assert!(!browser.text("#tail").await.contains("meanwhile"));
    for number in 0..250 {
        publish(&format!("n{number}")).await;
    }
    browser.says("#tail-state", "paused, 251 lines waiting").await;
    browser.click("#tail-pause").await;
    browser.says("#tail", "key n249").await;
    let lines = || browser.run("return document.querySelectorAll('#tail li').length");
    assert_eq!(lines().await, json!(200));
    publish("after").await;
    browser.says("#tail", "key after").await;
    assert_eq!(lines().await, json!(200));
    browser.click("#tail-clear").await;
    browser.says("#tail", "nothing").await;
    eventually("it goes on", SOON, async || {
        publish("again").await;
        browser.text("#tail").await.contains("key again")
    })
    .await;
}
