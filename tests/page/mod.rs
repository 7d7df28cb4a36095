//! The status page, in a real browser in front of real instances.

mod foreign;
mod forms;
mod rights;
mod shown;
mod tail;

use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};

/// What the page says when nothing is wrong.
const SOUND: &str = "ready and attached";

/// A browser that has opened the page of an instance and been told how it is.
async fn open(instance: &Instance) -> Browser {
    let browser = Browser::start().await;
    browser.open(&instance.admin_url("/")).await;
    browser.says("#verdict", SOUND).await;
    browser
}

/// Reads a key at every instance; its value, which they agree on.
async fn read_everywhere(cluster: &Cluster, key: &str) -> String {
    let mut values = Vec::new();
    for node in &cluster.nodes {
        let answer = node.instance.get(NAMESPACE, key).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        values.push(answer.text());
    }
    values.dedup();
    assert_eq!(values.len(), 1, "{values:?}");
    values.remove(0)
}

/// That the browser complained of nothing and asked nobody but this instance.
async fn assert_clean(browser: &Browser, instance: &Instance) {
    assert_complains(browser, instance, &[]).await;
}

/// That the browser complained of these answers of 401 alone, in this order, and asked nobody but this instance.
async fn assert_complains(browser: &Browser, instance: &Instance, refused: &[&str]) {
    let refused: Vec<_> = refused
        .iter()
        .map(|path| {
            let why = "Failed to load resource: the server responded with a status of 401 (Unauthorized)";
            json!(format!("{} - {why}", instance.admin_url(path))).to_string()
        })
        .collect();
    assert_eq!(browser.console().await, refused);
    let own = [instance.admin_url("/"), "data:".to_owned()];
    let requests = browser.requests().await;
    assert!(requests.iter().any(|url| url.ends_with("/stats")), "{requests:?}");
    let others: Vec<_> = requests.iter().filter(|url| !own.iter().any(|own| url.starts_with(own))).collect();
    assert!(others.is_empty(), "{others:?}");
}
