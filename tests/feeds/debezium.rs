//! Debezium's streams in a real server: what they say is obeyed, once, whoever dies meanwhile.

use serde_json::{Value, json};

use super::{hold, logged, obeyed, says_away, sum, untouched, with_source};
use crate::harness::instance::{Cluster, NAMESPACE};
use crate::harness::resp::Reply;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

const STREAM: &str = "shop.public.users";

/// A source whose rows are keys of [`NAMESPACE`]; with a URL, from another server than the backend.
fn source(url: Option<&str>) -> toml::Table {
    let mut table = toml::Table::new();
    for (name, value) in [("stream", STREAM), ("namespace", NAMESPACE), ("key", "{id}")] {
        table.insert(name.to_owned(), value.into());
    }
    table.insert("tags".to_owned(), vec!["team:{team_id}"].into());
    let mut source = toml::Table::new();
    for (name, value) in [("kind", "debezium"), ("name", "cdc")] {
        source.insert(name.to_owned(), value.into());
    }
    source.extend(url.map(|url| ("url".to_owned(), url.into())));
    source.insert("tables".to_owned(), vec![toml::Value::Table(table)].into());
    source
}

/// An entry as the sink's extended format has it.
fn change(id: &str, op: &str) -> [String; 2] {
    let row = json!({ "id": id, "team_id": 7 });
    let (before, after) = if op == "d" { (row, Value::Null) } else { (Value::Null, row) };
    let source = json!({ "schema": "public", "table": "users" });
    [
        json!({ "id": id }).to_string(),
        json!({ "before": before, "after": after, "source": source, "op": op }).to_string(),
    ]
}

async fn add(server: &Server, [key, value]: [String; 2]) -> String {
    server.command(&["XADD", STREAM, "*", "key", &key, "value", &value]).await.text()
}

/// Waits until the group has read everything, and finished it.
async fn finished(server: &Server) {
    eventually("the streams are read", SOON, async || {
        let groups = server.command(&["XINFO", "GROUPS", STREAM]).await;
        let Reply::Array(groups) = groups else { return false };
        let Some(group) = groups.first() else { return false };
        let fields: Vec<Option<i64>> =
            group.items().iter().map(|it| if let Reply::Integer(n) = it { Some(*n) } else { None }).collect();
        let names: Vec<String> = group
            .items()
            .iter()
            .map(|it| {
                if let Reply::Text(text) = it {
                    String::from_utf8_lossy(text).into_owned()
                } else {
                    String::new()
                }
            })
            .collect();
        let of = |name: &str| names.iter().position(|it| it == name).and_then(|at| fields[at + 1]);
        of("pending") == Some(0) && of("lag") == Some(0)
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_changes_is_obeyed_by_all_instances() {
    let cluster = Cluster::with(with_source(3, source(None))).await;
    let entries = include_str!("../fixtures/debezium/compact-schemas.jsonl").lines();
    let keys = ["1", "2", "3", "20", "30"];
    for key in keys {
        hold(&cluster, key, "t").await;
        cluster.origin.bump(key);
    }
    hold(&cluster, "by-tag", "team:8").await;
    let bystander = hold(&cluster, "bystander", "team:9").await;
    cluster.origin.bump("by-tag");
    cluster.origin.bump("bystander");
    let entries: Vec<Value> = entries.map(|line| serde_json::from_str(line).expect("an entry")).collect();
    let of_stream = entries.iter().filter(|entry| entry["stream"] == STREAM);
    let (truncate, rows): (Vec<_>, Vec<_>) =
        of_stream.partition(|entry| entry["fields"].to_string().contains(r#"\"op\":\"t\""#));
    assert!(truncate.len() == 1 && 10 < rows.len(), "{} {}", truncate.len(), rows.len());
    let add = async |entry: &Value| {
        let fields = entry["fields"].as_array().expect("fields").iter().filter_map(Value::as_str);
        let words: Vec<&str> = ["XADD", STREAM, "*"].into_iter().chain(fields).collect();
        cluster.server.command(&words).await;
    };
    for entry in &rows {
        add(entry).await;
    }
    for key in keys.iter().chain(&["by-tag"]) {
        obeyed(&cluster, key).await;
    }
    finished(&cluster.server).await;
    untouched(&cluster, "bystander", bystander).await;
    add(truncate[0]).await;
    obeyed(&cluster, "bystander").await;
    finished(&cluster.server).await;
    let kept = cluster.server.command(&["XLEN", STREAM]).await.integer();
    assert_eq!(kept, i64::try_from(rows.len() + 1).expect("a few"), "others may read them");
    let refused = sum(&cluster, r#"coherd_events_rejected_total{reason="malformed"}"#).await;
    assert!(refused.abs() < 0.1, "{refused}");
}

#[tokio::test]
async fn malformed_entries_are_counted_and_acknowledged_and_stop_nothing_behind_them() {
    let cluster = Cluster::with(with_source(3, source(None))).await;
    hold(&cluster, "1", "t").await;
    let bystander = hold(&cluster, "2", "t").await;
    cluster.origin.bump("1");
    let server = &cluster.server;
    for fields in
        [&["key", "{}", "value", "{"][..], &["a", "1", "b", "2"], &["key", "{}", "value", "{\"op\":\"?\"}"]]
    {
        server.command(&[&["XADD", STREAM, "*"], fields].concat()).await;
    }
    server.command(&[&b"XADD"[..], STREAM.as_bytes(), b"*", b"\xFF", b"\xFF"]).await;
    let long = "x".repeat(513);
    add(server, change(&long, "c")).await;
    add(server, change("1", "u")).await;
    obeyed(&cluster, "1").await;
    finished(server).await;
    for (reason, times) in [("malformed", 4.0), ("bad_key", 1.0)] {
        let counted = sum(&cluster, &format!("coherd_events_rejected_total{{reason=\"{reason}\"}}")).await;
        assert!((counted - times).abs() < 0.1, "{reason}: {counted}");
    }
    untouched(&cluster, "2", bystander).await;
}

#[tokio::test]
async fn what_came_before_the_group_did_and_while_no_instance_ran_is_read() {
    let cdc = Server::start().await;
    add(&cdc, change("1", "c")).await;
    let mut cluster = Cluster::with(with_source(2, source(Some(&cdc.url_at(cdc.addr()))))).await;
    finished(&cdc).await;
    assert_eq!(logged(&cluster.server).await, 1);
    hold(&cluster, "2", "t").await;
    for node in &mut cluster.nodes {
        node.instance.kill().await;
    }
    cluster.origin.bump("2");
    add(&cdc, change("2", "d")).await;
    for node in &mut cluster.nodes {
        node.instance.restart().await;
    }
    obeyed(&cluster, "2").await;
    finished(&cdc).await;
    // The stream is deleted, the group with it, and it comes again.
    hold(&cluster, "3", "t").await;
    cluster.origin.bump("3");
    cdc.command(&["DEL", STREAM]).await;
    add(&cdc, change("3", "c")).await;
    obeyed(&cluster, "3").await;
}

#[tokio::test]
async fn what_an_instance_took_and_did_not_finish_another_takes_over() {
    let cdc = Server::start().await;
    let setup = with_source(2, source(Some(&cdc.url_at(cdc.addr())))).set("backend.command_timeout", "1m");
    let mut cluster = Cluster::with(setup).await;
    for key in ["1", "2", "3"] {
        hold(&cluster, key, "t").await;
        cluster.origin.bump(key);
    }
    cluster.nodes[1].instance.kill().await;
    // It takes them and cannot say so to anybody.
    cluster.wire(0).stall();
    for key in ["1", "2", "3"] {
        add(&cdc, change(key, "u")).await;
    }
    eventually("they are taken", SOON, async || {
        matches!(cdc.command(&["XPENDING", STREAM, "coherd"]).await.items()[0], Reply::Integer(1..))
    })
    .await;
    cluster.nodes[0].instance.kill().await;
    cluster.wire(0).restore().await;
    cluster.nodes[1].instance.restart().await;
    finished(&cdc).await;
    cluster.nodes[0].instance.restart().await;
    for key in ["1", "2", "3"] {
        obeyed(&cluster, key).await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_degrades_and_an_instance_that_leaves_leaves_no_consumer() {
    let mut cdc = Server::with(crate::harness::server::Options::default().appendonly()).await;
    let mut cluster = Cluster::with(with_source(1, source(Some(&cdc.url_at(cdc.addr()))))).await;
    eventually("the source is reached", SOON, async || cluster.instance(0).is_sound().await).await;
    hold(&cluster, "1", "t").await;
    cdc.kill().await;
    eventually("the source is missed", SOON, async || says_away(cluster.instance(0), "cdc").await).await;
    assert_eq!(cluster.instance(0).metric(r#"coherd_source_up{name="cdc"}"#).await, Some(0.0));
    untouched(&cluster, "1", 1).await;
    cluster.origin.bump("1");
    cdc.restart().await;
    add(&cdc, change("1", "c")).await;
    obeyed(&cluster, "1").await;
    eventually("the source is reached again", SOON, async || cluster.instance(0).is_sound().await).await;
    finished(&cdc).await;
    cluster.nodes[0].instance.terminate();
    assert!(cluster.nodes[0].instance.exit(SOON).await.success());
    let left = cdc.command(&["XINFO", "CONSUMERS", STREAM, "coherd"]).await;
    assert_eq!(left.items().len(), 0, "{left:?}");
}

#[tokio::test]
async fn entries_that_are_done_are_deleted_where_that_is_wanted() {
    let mut source = source(None);
    source.insert("delete".to_owned(), true.into());
    let cluster = Cluster::with(with_source(2, source)).await;
    hold(&cluster, "1", "t").await;
    cluster.origin.bump("1");
    add(&cluster.server, change("1", "u")).await;
    obeyed(&cluster, "1").await;
    eventually("it is deleted", SOON, async || {
        cluster.server.command(&["XLEN", STREAM]).await.integer() == 0
    })
    .await;
}
