//! What a writer is told, and what everybody reads.

use serde_json::json;

use super::{arrived, drained, effects, put, read, setup, version};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Effect, Fault};
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn a_write_behind_is_answered_at_once_read_by_all_and_brought_to_the_origin() {
    let cluster = Cluster::with(setup(2, "behind")).await;
    let gate = cluster.origin.hold_writes("k");
    let answer =
        cluster.instance(0).put(NAMESPACE, "k", "one").header("content-type", "text/plain").send().await;
    assert_eq!((answer.status, answer.header("coherd-durability")), (202, Some("memory")));
    let id = answer.header("coherd-write-id").unwrap().to_owned();
    assert_eq!((answer.json()["id"].as_str(), answer.header("coherd-log-id")), (Some(&*id), Some(&*id)));
    for number in [0, 1] {
        let pending = (200, "one".to_owned(), "pending-write".to_owned());
        assert_eq!(read(cluster.instance(number), "k").await, pending);
    }
    let explained = cluster.instance(1).admin(&format!("/v1/explain/{NAMESPACE}/k")).await;
    assert_eq!(explained["answer"]["from"], json!("pending_write"), "{explained}");
    assert!(explained["pending_write"].is_u64(), "{explained}");
    gate.arrived(1).await;
    gate.release();
    drained(cluster.instance(0)).await;
    let (status, text, detail) = read(cluster.instance(1), "k").await;
    assert_eq!((status, text.as_str(), detail.as_str()), (200, "one", "l2"));
    let write = cluster.origin.writes("k").remove(0);
    assert_eq!((write.body.as_deref(), write.effect), (Some(&b"one"[..]), Effect::Applied));
    assert!(write.seq.is_some_and(|seq| format!("{seq}-0") == id) && write.idempotency_key.is_some());
    assert_eq!(cluster.origin.reads("k"), 0, "nobody had to load it");
}

#[tokio::test]
async fn a_removal_behind_is_an_absence_until_the_origin_has_it() {
    let cluster = Cluster::with(setup(2, "behind").namespace("negative_ttl", "60s")).await;
    cluster.origin.set("k", 1);
    assert_eq!(read(cluster.instance(1), "k").await.0, 200);
    let gate = cluster.origin.hold_writes("k");
    assert_eq!(cluster.instance(0).delete(NAMESPACE, "k").send().await.status, 202);
    assert_eq!(read(cluster.instance(1), "k").await.0, 404);
    gate.arrived(1).await;
    gate.release();
    arrived(&cluster, "k", None).await;
    drained(cluster.instance(0)).await;
    assert_eq!(read(cluster.instance(1), "k").await.0, 404);
    assert_eq!(cluster.origin.reads("k"), 1);
}

#[tokio::test]
async fn a_write_through_is_at_the_origin_when_it_is_answered_and_is_the_copy() {
    let cluster = Cluster::with(setup(2, "through")).await;
    cluster.origin.set("k", 1);
    assert_eq!(read(cluster.instance(1), "k").await.0, 200);
    let answer = cluster.instance(0).request("PUT", &format!("/v1/cache/{NAMESPACE}/k?wait=all")).body("two");
    let answer = answer.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["missing"], json!([]), "{}", answer.text());
    assert_eq!(effects(&cluster, "k"), [(Some("two".to_owned()), Effect::Applied)]);
    // Without a word of consistency: it has taken effect everywhere.
    let answer = cluster.instance(1).get(NAMESPACE, "k").send().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "two"));
    assert_eq!(cluster.origin.reads("k"), 1, "what was written is the copy");
    assert_eq!(cluster.instance(1).delete(NAMESPACE, "k").send().await.status, 200);
    assert_eq!(read(cluster.instance(0), "k").await.0, 404);
}

#[tokio::test]
async fn a_write_past_the_cache_drops_the_copies() {
    let cluster = Cluster::with(setup(2, "invalidate")).await;
    cluster.origin.set("k", 1);
    assert_eq!(read(cluster.instance(1), "k").await.0, 200);
    assert_eq!(put(cluster.instance(0), "k", "2").await.status, 200);
    let (status, text, detail) = read(cluster.instance(1), "k").await;
    assert_eq!((status, text.as_str(), detail.as_str()), (200, "2", "origin"));
    assert_eq!(cluster.origin.reads("k"), 2);
}

#[tokio::test]
async fn a_request_says_for_itself_what_it_means() {
    let cluster = Cluster::with(setup(1, "invalidate")).await;
    let at = cluster.instance(0);
    let of = |mode: &str| at.request("PUT", &format!("/v1/cache/{NAMESPACE}/k?mode={mode}")).body("v").send();
    assert_eq!(of("behind").await.status, 202);
    arrived(&cluster, "k", Some("v")).await;
    assert_eq!(of("through").await.status, 200);
    assert_eq!(cluster.origin.reads("k"), 0);
    assert_eq!(read(at, "k").await.1, "v");
    assert_eq!(of("sideways").await.json()["code"], json!("bad_request"));
    let leased = at.put(NAMESPACE, "k", "v").header("coherd-lease", "x").send().await;
    assert_eq!(leased.json()["code"], json!("bad_request"));
}

#[tokio::test]
async fn what_the_origin_did_not_take_is_told_and_is_no_copy() {
    let cluster = Cluster::with(setup(1, "through")).await;
    cluster.origin.set("k", 1);
    let at = cluster.instance(0);
    for (fault, status, code) in [
        (Fault::Status(500), 502, "origin_failed"),
        (Fault::Status(422), 502, "origin_failed"),
        (Fault::Close, 502, "origin_failed"),
    ] {
        cluster.origin.behave("k", Behaviour { writes: Some(fault), ..Behaviour::default() });
        let answer = put(at, "k", "new").await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)));
        assert_eq!(version(&read(at, "k").await.1), Some(1));
    }
}

#[tokio::test]
async fn a_full_backlog_takes_no_further_write() {
    let setup = setup(1, "behind").set("write_behind.partitions", 1).set("write_behind.backlog_max", 3);
    let cluster = Cluster::with(setup).await;
    cluster.origin.behave_always(Behaviour { writes: Some(Fault::Status(503)), ..Behaviour::default() });
    let at = cluster.instance(0);
    for key in ["1", "2", "3"] {
        assert_eq!(put(at, key, "v").await.status, 202);
    }
    let full = put(at, "4", "v").await;
    assert_eq!((full.status, full.json()["code"].as_str()), (503, Some("overloaded")));
    assert!(full.header("retry-after").is_some());
    cluster.origin.behave_always(Behaviour::default());
    eventually("there is room again", SOON, async || put(at, "4", "v").await.status == 202).await;
    drained(at).await;
}

#[tokio::test]
async fn a_purge_of_what_is_pending_waits_for_the_origin() {
    let cluster = Cluster::with(setup(1, "behind")).await;
    let at = cluster.instance(0);
    let gate = cluster.origin.hold_writes("k");
    put(at, "k", "7").await;
    let purged = at.purge(NAMESPACE, "k").send().await;
    assert_eq!((purged.status, &purged.json()["deferred"]), (202, &json!(true)));
    assert_eq!(read(at, "k").await.2, "pending-write");
    gate.arrived(1).await;
    gate.release();
    drained(at).await;
    assert_eq!(read(at, "k").await.2, "origin");
    assert_eq!(at.purge(NAMESPACE, "k").send().await.status, 200);
}

#[tokio::test]
async fn cut_off_nobody_knows_what_is_pending() {
    let setup = Setup::new(2).namespace("write", "behind").beside("plain");
    let cluster = Cluster::with(setup).await;
    let at = cluster.instance(1);
    cluster.origin.set("k", 1);
    assert_eq!(read(at, "k").await.0, 200);
    cluster.wire(1).cut().await;
    eventually("its lease is over", SOON, async || {
        let answer = at.get(NAMESPACE, "k").send().await;
        answer.status == 503 && answer.json()["code"] == json!("unavailable")
    })
    .await;
    assert_eq!(at.get("plain", "k").send().await.status, 200, "what nobody writes behind is loaded");
    cluster.wire(1).restore().await;
    eventually("it is back", SOON, async || at.get(NAMESPACE, "k").send().await.status == 200).await;
}

#[tokio::test]
async fn a_removal_that_the_origin_has_no_way_for_is_refused_at_once() {
    let origin = toml::toml! {
        kind = "sql"
        url = "sqlite:///nowhere/users.db"
        select = "SELECT name FROM users WHERE id = ?1"
        upsert = "INSERT INTO users (id, name) VALUES (?1, ?2)"
    };
    let cluster = Cluster::with(Setup::new(1).namespace("write", "behind").namespace("origin", origin)).await;
    let at = cluster.instance(0);
    for mode in ["", "?mode=through"] {
        let refused = at.delete(NAMESPACE, &format!("k{mode}")).send().await;
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("write_off")), "{refused:?}");
    }
    assert!(at.admin("/v1/writes/pending").await["pending"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(put(at, "k", "v").await.status, 202, "it can be written, once the database is there");
}
