//! The audit: a line for every invalidation, by every door, with who, what and which id; and for attempts that are refused.

use serde_json::{Value, json};

use crate::harness::http::{Client, Request};
use crate::harness::instance::{Config, Instance};
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

const INBOX: &str = "coherd:{main}:inbox";

async fn start(server: &Server, format: &str, level: &str) -> Instance {
    let mut config = Config::new("inst-0", &server.url_at(server.addr()))
        .set("namespaces.users.origin.kind", "none")
        .set("log.format", format)
        .set("log.level", level);
    let mut tokens = Vec::new();
    for (name, rights, namespaces) in [
        ("billing", &["invalidate", "write"][..], &["users"][..]),
        ("operator", &["invalidate", "admin"], &[]),
        ("reader", &["read"], &[]),
    ] {
        let variable = format!("TEST_TOKEN_{}", name.to_uppercase());
        config = config.env(&variable, &format!("{name}-s3cret"));
        let table = json!({ "name": name, "token_env": variable, "allow": rights, "namespaces": namespaces });
        tokens.push(toml::Value::try_from(table).expect("a table"));
    }
    Instance::start(config.set("auth.tokens", tokens)).await
}

fn by(token: &str, request: Request) -> Request {
    request.header("authorization", &format!("Bearer {token}-s3cret"))
}

fn lines(instance: &Instance) -> Vec<Value> {
    let output = instance.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "coherd::audit").collect()
}

/// The one line that has these fields, once it is there.
async fn told(instance: &Instance, wanted: Value) -> Value {
    let wanted = wanted.as_object().expect("fields").clone();
    let name = format!("a line with {wanted:?}");
    eventually(&name, SOON, async || {
        let fits =
            |line: &Value| wanted.iter().all(|(field, value)| line[format!("audit.{field}")] == *value);
        let mut found: Vec<_> = lines(instance).into_iter().filter(fits).collect();
        assert!(found.len() < 2, "{found:?}");
        found.pop()
    })
    .await
}

#[tokio::test]
async fn every_door_is_told_of_with_who_what_and_the_id() {
    let server = Server::start().await;
    let instance = start(&server, "json", "info").await;
    let purged = by("billing", instance.purge("users", "hidden-key")).send().await;
    let id = purged.header("coherd-log-id").expect("it is logged").to_owned();
    let line = told(&instance, json!({ "id": id })).await;
    for (field, value) in [
        ("level", json!("INFO")),
        ("message", json!("invalidation")),
        ("audit.door", json!("purge")),
        ("audit.token", json!("billing")),
        ("audit.peer", json!("127.0.0.1")),
        ("audit.outcome", json!("logged")),
        ("audit.namespaces", json!("users")),
        ("audit.keys", json!(1)),
        ("audit.soft", json!(false)),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }

    let event = json!({
        "namespace": "users", "prefixes": ["hidden/"], "tags": ["hidden-tag"], "soft": true,
        "source": "nightly\njob", "request_id": "r1",
    });
    for outcome in ["logged", "repeated"] {
        let answer = by("operator", instance.invalidate("?wait=all", &event)).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let line =
            told(&instance, json!({ "door": "http", "outcome": outcome, "id": answer.json()["id"] })).await;
        assert_eq!(
            (&line["audit.token"], &line["audit.source"]),
            (&json!("operator"), &json!("nightly\njob"))
        );
        let what = ["keys", "prefixes", "tags", "soft"].map(|field| line[format!("audit.{field}")].clone());
        assert_eq!(what, [json!(0), json!(1), json!(1), json!(true)], "{line}");
    }
    let exact = json!({ "namespace": "users", "prefixes": ["hid"] });
    let refused = by("billing", instance.invalidate("?exact=true", &exact)).send().await;
    assert_eq!(refused.status, 400);
    told(&instance, json!({ "door": "http", "outcome": "refused", "token": "billing" })).await;

    server.command(&["XADD", INBOX, "*", "ns", "users", "key", "hidden-key", "src", "cron"]).await;
    let line = told(&instance, json!({ "door": "inbox" })).await;
    assert_eq!((&line["audit.source"], &line["audit.token"]), (&json!("cron"), &Value::Null), "{line}");
    server.command(&["PUBLISH", INBOX, r#"{"namespace":"users","all":true}"#]).await;
    assert_eq!(told(&instance, json!({ "door": "pubsub" })).await["audit.all"], json!(true));
    let call = ["FCALL", "coherd_invalidate", "1", "coherd:{main}:ctl", "ns", "users", "key", "hidden-key"];
    let id = server.command(&call).await.text();
    let line = told(&instance, json!({ "door": "fcall" })).await;
    assert_eq!((&line["audit.count"], &line["audit.until"]), (&json!(1), &json!(id)), "{line}");

    // A write is no invalidation that somebody asked for.
    let count = lines(&instance).len();
    assert!(by("billing", instance.put("users", "hidden-key", "v")).send().await.status < 300);
    by("billing", instance.purge("users", "last")).send().await;
    eventually("the purge is told of", SOON, async || lines(&instance).len() == count + 1).await;
    let output = instance.output();
    assert!(!output.contains("hidden") && !output.contains("s3cret"), "{output}");
}

#[tokio::test]
async fn attempts_that_are_refused_are_told_of_once_a_second_at_most() {
    let server = Server::start().await;
    let instance = start(&server, "json", "info").await;
    for _ in 0..50 {
        assert_eq!(by("reader", instance.purge("users", "hidden-key")).send().await.status, 403);
    }
    let refused = || {
        let all = lines(&instance).into_iter().filter(|line| line["audit.outcome"] == "refused");
        all.collect::<Vec<_>>()
    };
    let (count, first) = (refused().len(), refused().remove(0));
    assert!((1..10).contains(&count), "{count} lines for 50 attempts");
    assert_eq!(
        (&first["audit.method"], &first["audit.peer"]),
        (&json!("PURGE"), &json!("127.0.0.1")),
        "{first}"
    );
    assert_eq!(first["audit.route"], "/v1/cache/{namespace}/{key}");
    assert_eq!(first["audit.why"], "token `reader` lacks the right `invalidate`");
    let url = instance.admin_url("/stats");
    eventually("the next one says how many there were", SOON, async || {
        assert_eq!(Client::new().get(&url).header("authorization", "Bearer s3cret").send().await.status, 401);
        refused()
            .iter()
            .any(|line| line["audit.route"] == "/stats" && 0 < line["suppressed"].as_u64().unwrap_or(0))
    })
    .await;
    let output = instance.output();
    assert!(!output.contains("hidden") && !output.contains("s3cret"), "{output}");
}

#[tokio::test]
async fn the_level_switches_it_off_and_shows_names_at_debug() {
    let server = Server::start().await;
    let off = start(&server, "json", "info,coherd::audit=off").await;
    assert_eq!(by("billing", off.purge("users", "hidden-key")).send().await.status, 200);
    assert_eq!(by("reader", off.purge("users", "hidden-key")).send().await.status, 403);
    assert!(!off.output().contains("coherd::audit"), "{}", off.output());
    drop(off);

    let names = start(&server, "json", "info,coherd::audit=debug").await;
    assert_eq!(by("billing", names.purge("users", "hidden-key")).send().await.status, 200);
    told(&names, json!({ "targets": "key users/hidden-key" })).await;
    drop(names);

    let text = start(&server, "text", "info").await;
    let event = json!({ "namespace": "users", "keys": ["k"], "source": "two\nlines audit.token=\"forged\"" });
    assert_eq!(by("billing", text.invalidate("", &event)).send().await.status, 202);
    let line = eventually("the line is there", SOON, async || {
        text.output().lines().find(|line| line.contains("coherd::audit")).map(str::to_owned)
    })
    .await;
    for part in [
        " INFO coherd::audit: invalidation ",
        "audit.door=\"http\" audit.token=\"billing\" audit.peer=\"127.0.0.1\" ",
        "audit.source=\"two\\nlines audit.token=\\\"forged\\\"\" ",
        "audit.outcome=\"logged\" audit.namespaces=\"users\" audit.keys=1 ",
    ] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
}
