//! Pages of other sites: a browser that can reach an instance sends it nothing on their behalf that it would obey.

use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::http::{Client, Request};
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::refusals::assert_refused;

/// Every request that changes something, on either listener.
fn changes(instance: &Instance) -> Vec<(String, Request)> {
    let client = Client::new();
    let event = json!({ "namespace": NAMESPACE, "keys": ["k"] }).to_string();
    let key = format!("/v1/cache/{NAMESPACE}/k");
    let admin = ["/stats/reset", "/v1/invalidate", "/v1/writes/retry", "/v1/writes/drop"];
    let admin = admin.map(|path| ("POST", instance.admin_url(path)));
    let data = [
        ("PURGE", key.as_str()),
        ("PUT", &key),
        ("DELETE", &key),
        ("POST", "/v1/invalidate"),
        ("POST", "/v1/locks/l"),
        ("POST", "/v1/warm/things"),
    ];
    let data = data.map(|(method, path)| (method, instance.url(path)));
    let all = admin.into_iter().chain(data);
    all.map(|(method, url)| (format!("{method} {url}"), client.request(method, &url).body(event.clone())))
        .collect()
}

#[tokio::test]
async fn another_site_changes_nothing_and_other_programs_are_not_bothered() {
    let cluster = Cluster::start(1).await;
    let instance = cluster.instance(0);
    let length = async || cluster.server.command(&["XLEN", "coherd:{main}:log"]).await.integer();
    let before = length().await;
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("host", "evil.example:9080"), ("origin", "http://evil.example:9080")],
    ] {
        for (name, request) in changes(instance) {
            let request = headers.iter().fold(request, |it, (name, value)| it.header(name, value));
            assert_refused(&format!("{name} {headers:?}"), &request.send().await, 403, "forbidden");
        }
    }
    assert_eq!(length().await, before);
    // A name that was pointed here could read what the admin listener tells.
    let client = Client::new();
    for path in ["/stats", "/events", "/v1/rights", "/v1/explain/things/k", "/v1/writes/pending"] {
        let rebound = client.get(&instance.admin_url(path)).header("host", "evil.example");
        assert_refused(path, &rebound.send().await, 403, "forbidden");
    }
    for path in ["/", "/healthz", "/readyz", "/metrics"] {
        let scraped = client.get(&instance.admin_url(path)).header("host", "coherd-0.monitoring");
        assert_eq!(scraped.send().await.status, 200, "{path}");
    }
    // Not browsers: behind a balancer the name is whatever it is.
    for (name, request) in changes(instance).into_iter().filter(|(name, _)| name.contains(&instance.url("/")))
    {
        let answer = request.header("host", "cache.example").send().await;
        assert_ne!((answer.status, answer.text().contains("\"forbidden\"")), (403, true), "{name}");
    }
    assert!(before < length().await);
}

/// Opens a page, and sends from there what a form of any site may send; the log is as long as before, or not.
async fn attack(browser: &Browser, page: &str, cluster: &Cluster) -> bool {
    browser.open(page).await;
    let before = cluster.server.command(&["XLEN", "coherd:{main}:log"]).await.integer();
    let target = page_target(page, cluster.instance(0));
    let body = json!({ "namespace": NAMESPACE, "all": true }).to_string();
    let script = format!(
        "return fetch({}, {{ method: 'POST', mode: 'no-cors', body: {} }}).then(() => 'sent', (error) => String(error))",
        json!(target),
        json!(body)
    );
    assert_eq!(browser.run(&script).await, Value::from("sent"));
    before < cluster.server.command(&["XLEN", "coherd:{main}:log"]).await.integer()
}

/// From a name that is pointed here the attack is on that very name.
fn page_target(page: &str, instance: &Instance) -> String {
    let target = instance.admin_url("/v1/invalidate");
    if page.contains("evil.example") { target.replace("127.0.0.1", "evil.example") } else { target }
}

#[tokio::test]
async fn a_browser_is_no_way_in_for_another_site_nor_for_a_name_that_is_pointed_here() {
    let cluster = Cluster::start(1).await;
    cluster.origin.set("page", 1);
    // Every name is this machine's, as after a rebinding.
    let browser = Browser::with(&["--host-resolver-rules=MAP *.example 127.0.0.1"]).await;
    let admin = cluster.instance(0).admin_url("/");
    let origin = cluster.origin.url().replace("{key}", "page");
    for foreign in [
        origin.clone(),
        origin.replace("127.0.0.1", "other.example"),
        admin.replace("127.0.0.1", "evil.example"),
    ] {
        assert!(!attack(&browser, &foreign, &cluster).await, "{foreign}");
    }
    browser.says("#unreachable", "any site may point its name here").await;
    assert!(attack(&browser, &admin, &cluster).await, "the page itself may");
}
