//! The page where tokens are asked for: it holds nothing without one, and offers no more than the token may do.

use serde_json::json;

use super::{SOUND, assert_complains};
use crate::harness::browser::Browser;
use crate::harness::http::{Client, Request};
use crate::harness::instance::{Config, Instance};
use crate::harness::server::Server;
use crate::refusals::assert_refused;

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
        ("publisher", &[], &["invalidate"]),
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
    let asked = browser.requests().await;
    assert!(!asked.iter().any(|url| url.contains("/v1/")), "nothing is asked without a token: {asked:?}");
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
    // Chromium writes a line for each answer of 401, and no page can keep it from that: when this one is opened, as a
    // browser has no token for that, and when a token is not known.
    assert_complains(&browser, &instance, &["/", "/v1/rights", "/", "/", "/"]).await;
    assert!(!instance.output().contains("s3cret"), "{}", instance.output());
}

/// A token of the name `x` is `x-s3cret`; `None` sends none.
fn with(request: Request, token: Option<&str>) -> Request {
    match token {
        Some(token) => request.header("authorization", &format!("Bearer {token}-s3cret")),
        None => request,
    }
}

#[tokio::test]
async fn without_the_right_the_page_is_a_refusal_that_a_browser_can_sign_in_by() {
    let server = Server::start().await;
    let instance = start(&server).await;
    let client = Client::new();
    let ask = |token| with(client.get(&instance.admin_url("/")), token);
    let page = ask(Some("viewer")).send().await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.header("content-security-policy").is_some_and(|it| it.contains("frame-ancestors 'none'")));
    let etag = page.header("etag").expect("the page has a tag").to_owned();
    let again = ask(Some("viewer")).header("if-none-match", &etag).send().await;
    assert_eq!((again.status, again.text()), (304, String::new()));
    for name in ["inst-0", "one", "main\"", "operator"] {
        assert!(!page.text().contains(&format!(">{name}<")), "{name}");
    }
    for (token, status, code, challenge) in [
        (None, 401, "unauthorized", Some("Bearer")),
        (Some("wrong"), 401, "unauthorized", Some("Bearer")),
        (Some("reader"), 403, "forbidden", None),
        (Some("publisher"), 403, "forbidden", None),
    ] {
        for accept in [None, Some("*/*"), Some("application/json")] {
            let request = accept.into_iter().fold(ask(token), |it, accept| it.header("accept", accept));
            let answer = request.send().await;
            assert_refused(&format!("{token:?} {accept:?}"), &answer, status, code);
        }
        let shown = ask(token).header("accept", "text/html,*/*;q=0.8").header("if-none-match", &etag);
        let shown = shown.send().await;
        assert_eq!((shown.status, shown.header("www-authenticate")), (status, challenge), "{token:?}");
        assert_eq!((shown.header("etag"), shown.header("cache-control")), (None, Some("no-store")));
        for same in ["content-type", "content-security-policy", "x-content-type-options", "referrer-policy"] {
            assert_eq!(shown.header(same), page.header(same), "{same}");
        }
        assert_eq!(shown.text().replacen(" data-sign-in>", ">", 1), page.text());
        assert_ne!(shown.text(), page.text());
    }
}

#[tokio::test]
async fn a_known_token_learns_its_own_rights_and_an_event_needs_two_of_them() {
    let server = Server::start().await;
    let instance = start(&server).await;
    let client = Client::new();
    let rights = |token| with(client.get(&instance.admin_url("/v1/rights")), token);
    for token in [None, Some("wrong")] {
        assert_refused("rights", &rights(token).send().await, 401, "unauthorized");
    }
    for (token, allow, namespaces) in [
        ("tenant", json!(["invalidate", "admin"]), json!(["two"])),
        ("viewer", json!(["admin"]), json!([])),
        ("reader", json!(["read"]), json!([])),
    ] {
        let told = rights(Some(token)).send().await;
        assert_eq!(told.status, 200, "{token}");
        assert_eq!(told.json(), json!({ "token": token, "allow": allow, "namespaces": namespaces }));
    }
    for (namespace, token, status) in [
        ("one", None, 401),
        ("one", Some("viewer"), 403),
        ("one", Some("publisher"), 403),
        ("one", Some("tenant"), 403),
        ("two", Some("tenant"), 202),
        ("one", Some("operator"), 202),
    ] {
        let event = json!({ "namespace": namespace, "keys": ["k"] });
        let request = client.post(&instance.admin_url("/v1/invalidate"), &event);
        assert_eq!(with(request, token).send().await.status, status, "{namespace} {token:?}");
    }
}
