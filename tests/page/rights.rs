//! The page where tokens are asked for: it holds nothing without one, and offers no more than the token may do.

use serde_json::json;

use super::{SOUND, assert_clean};
use crate::harness::browser::Browser;
use crate::harness::http::Client;
use crate::harness::instance::{Config, Instance};
use crate::harness::server::Server;

async fn start(server: &Server) -> Instance {
    let mut config = Config::new("inst-0", &server.url_at(server.addr()))
        .set("namespaces.one.origin.kind", "none")
        .set("namespaces.two.origin.kind", "none");
    let mut tokens = Vec::new();
    for (name, namespaces, allow) in [
        ("viewer", &[][..], &["admin"][..]),
        ("operator", &[], &["admin", "invalidate"]),
        ("tenant", &["two"], &["admin", "invalidate"]),
        ("reader", &[], &["read"]),
    ] {
        let variable = format!("TEST_TOKEN_{}", name.to_uppercase());
        config = config.env(&variable, &format!("{name}-s3cret"));
        let token = json!({ "name": name, "token_env": variable, "allow": allow, "namespaces": namespaces });
        tokens.push(toml::Value::try_from(token).expect("a table"));
    }
    Instance::start(config.set("auth.tokens", tokens)).await
}

async fn sign_in(browser: &Browser, token: &str) {
    browser.keys("#token", &format!("{token}\n")).await;
}

#[tokio::test]
async fn a_token_opens_the_page_and_offers_what_it_may_do() {
    let server = Server::start().await;
    let instance = start(&server).await;
    let browser = Browser::start().await;
    browser.open(&instance.admin_url("/")).await;
    browser.says("#sign-in", "This listener asks for a token").await;
    assert_eq!(browser.text("#main").await, "");
    browser.screenshot("sign-in").await;
    sign_in(&browser, "wrong-s3cret").await;
    browser.says("#sign-in-why", "not known").await;
    sign_in(&browser, "reader-s3cret").await;
    browser.says("#sign-in-why", "reader lacks the right admin").await;
    assert_eq!(browser.text("#main").await, "");

    sign_in(&browser, "viewer-s3cret").await;
    browser.says("#verdict", SOUND).await;
    browser.says("#tail-state", "following").await;
    browser.says("#invalidate-why", "viewer has not the right to invalidate").await;
    assert_eq!(browser.text("#invalidate-form").await, "");
    browser.keys("#explain-key", "k\n").await;
    browser.says("#explained", "one/k").await;

    // It is this tab's, and gone when it is told so.
    browser.open(&instance.admin_url("/")).await;
    browser.says("#verdict", SOUND).await;
    browser.click("#forget").await;
    browser.says("#sign-in", "This listener asks for a token").await;
    assert_eq!(browser.run("return sessionStorage.length + localStorage.length").await, json!(0));

    sign_in(&browser, "tenant-s3cret").await;
    browser.says("#invalidate-form", "What is no longer true").await;
    assert_eq!(browser.text("#by-tags").await, "", "tags are everybody's");
    assert_eq!(browser.text("#invalidate-namespace").await.trim(), "two");
    browser.click("#forget").await;

    sign_in(&browser, "operator-s3cret").await;
    browser.says("#by-tags", "tags").await;
    browser.keys("#targets", "k").await;
    browser.click("#invalidate-form [type=submit]").await;
    browser.click("#confirm-yes").await;
    browser.says("#invalidated", "inst-0").await;
    assert_clean(&browser, &instance).await;
    assert!(!instance.output().contains("s3cret"), "{}", instance.output());
}

#[tokio::test]
async fn the_file_is_everybodys_and_what_it_asks_for_is_not() {
    let server = Server::start().await;
    let instance = start(&server).await;
    let client = Client::new();
    let ask = |path: &str, token: Option<&str>| {
        let request = client.get(&instance.admin_url(path));
        match token {
            Some(token) => request.header("authorization", &format!("Bearer {token}-s3cret")),
            None => request,
        }
    };
    let page = ask("/", None).send().await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.header("content-security-policy").is_some_and(|it| it.contains("frame-ancestors 'none'")));
    assert_eq!(page.text(), ask("/", Some("operator")).send().await.text());
    for name in ["inst-0", "one", "main\"", "operator"] {
        assert!(!page.text().contains(&format!(">{name}<")), "{name}");
    }
    for (token, allow) in [
        (None, json!([])),
        (Some("wrong"), json!([])),
        (Some("tenant"), json!(["invalidate", "admin"])),
        (Some("reader"), json!(["read"])),
    ] {
        let told = ask("/v1/rights", token).send().await;
        assert_eq!((told.status, &told.json()["allow"]), (200, &allow), "{token:?}");
    }
    let event = json!({ "namespace": "one", "keys": ["k"] });
    for (token, status) in
        [(None, 401), (Some("viewer"), 403), (Some("tenant"), 403), (Some("operator"), 202)]
    {
        let request = client.post(&instance.admin_url("/v1/invalidate"), &event);
        let request = match token {
            Some(token) => request.header("authorization", &format!("Bearer {token}-s3cret")),
            None => request,
        };
        assert_eq!(request.send().await.status, status, "{token:?}");
    }
}
