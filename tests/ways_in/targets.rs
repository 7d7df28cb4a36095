//! What an event can name: prefixes, namespaces, everything, keys that others depend on; and what it cannot reach.

use serde_json::json;

use super::{CTL, INBOX, hold, key_event, obeyed, three, untouched, version};
use crate::harness::instance::{Cluster, NAMESPACE, Setup};

#[tokio::test]
async fn a_prefix_hits_what_is_below_its_boundary_and_the_answer_tells_when_it_was_widened() {
    let cluster = Cluster::with(three()).await;
    let keys = ["eu/de/1", "eu/fr:2", "us/1", "eu"];
    for key in keys {
        hold(&cluster, NAMESPACE, key).await;
        cluster.origin.bump(key);
    }
    let event = |prefix: &str| json!({ "namespace": NAMESPACE, "prefixes": [prefix] });

    let answer = cluster.instance(0).invalidate("", &event("eu/de/")).send().await;
    assert_eq!((answer.status, answer.json().get("widened")), (202, None));
    obeyed(&cluster, NAMESPACE, "eu/de/1").await;
    for key in &keys[1..] {
        untouched(&cluster, NAMESPACE, key, 1).await;
    }

    let refused = cluster.instance(1).invalidate("?exact=true", &event("eu/f")).send().await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("bad_request")));
    untouched(&cluster, NAMESPACE, "eu/fr:2", 1).await;

    let answer = cluster.instance(1).invalidate("", &event("eu/f")).send().await;
    assert_eq!((answer.status, &answer.json()["widened"]), (202, &json!({ "eu/f": "eu/" })));
    obeyed(&cluster, NAMESPACE, "eu/fr:2").await;
    for key in &keys[2..] {
        untouched(&cluster, NAMESPACE, key, 1).await;
    }

    let answer = cluster.instance(2).invalidate("?wait=all", &event("e")).send().await;
    assert_eq!((answer.status, &answer.json()["widened"]), (200, &json!({ "e": "" })));
    obeyed(&cluster, NAMESPACE, "eu").await;
    obeyed(&cluster, NAMESPACE, "us/1").await;
}

#[tokio::test]
async fn a_prefix_is_widened_at_the_doors_of_valkey_too() {
    let cluster = Cluster::with(three()).await;
    for (key, words) in [
        ("a:1", vec!["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "prefix", "a:"]),
        ("b:1", vec!["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "prefix", "b:x"]),
        ("c:1", vec!["XADD", INBOX, "*", "ns", NAMESPACE, "prefix", "c:x"]),
        ("d:1", vec!["PUBLISH", INBOX, r#"{"namespace":"things","prefixes":["d:x"]}"#]),
    ] {
        let held = hold(&cluster, NAMESPACE, "bystander:1").await;
        hold(&cluster, NAMESPACE, key).await;
        cluster.origin.bump(key);
        cluster.server.command(&words).await;
        obeyed(&cluster, NAMESPACE, key).await;
        untouched(&cluster, NAMESPACE, "bystander:1", held).await;
    }
}

#[tokio::test]
async fn all_of_a_namespace_is_that_namespace_and_all_without_one_is_everything() {
    let setup = three().beside("others").set("namespaces.others.ttl", "1h");
    let cluster = Cluster::with(setup).await;
    let others = "others";
    let doors: [&[&str]; 3] = [
        &["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "all", "1"],
        &["XADD", INBOX, "*", "ns", NAMESPACE, "all", "1"],
        &["PUBLISH", INBOX, r#"{"namespace":"things","all":true}"#],
    ];
    let held = hold(&cluster, others, "o").await;
    cluster.origin.bump("o");
    for door in doors {
        hold(&cluster, NAMESPACE, "k").await;
        cluster.origin.bump("k");
        cluster.server.command(door).await;
        obeyed(&cluster, NAMESPACE, "k").await;
        untouched(&cluster, others, "o", held).await;
    }
    cluster.origin.bump("k");
    let event = json!({ "namespace": NAMESPACE, "all": true });
    assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    obeyed(&cluster, NAMESPACE, "k").await;
    untouched(&cluster, others, "o", held).await;

    for door in [
        &["FCALL", "coherd_invalidate", "1", CTL, "all", "1"][..],
        &["XADD", INBOX, "*", "all", "1"],
        &["PUBLISH", INBOX, r#"{"all":true}"#],
    ] {
        hold(&cluster, others, "p").await;
        cluster.origin.bump("k");
        cluster.origin.bump("p");
        cluster.server.command(door).await;
        obeyed(&cluster, NAMESPACE, "k").await;
        obeyed(&cluster, others, "p").await;
        cluster.origin.remove("p");
        assert_eq!(
            cluster.instance(0).invalidate("?wait=all", &json!({ "all": true })).send().await.status,
            200
        );
    }
}

#[tokio::test]
async fn a_key_that_others_depend_on_takes_them_along() {
    let setup = three()
        .beside("accounts")
        .set("namespaces.accounts.ttl", "1h")
        .namespace("depends_on", vec!["accounts/{key}"]);
    let cluster = Cluster::with(setup).await;
    let other = hold(&cluster, NAMESPACE, "8").await;
    for key in ["7", "8"] {
        hold(&cluster, NAMESPACE, key).await;
        hold(&cluster, "accounts", key).await;
        cluster.origin.bump(key);
    }
    assert_eq!(cluster.instance(0).purge("accounts", "7").send().await.status, 200);
    obeyed(&cluster, "accounts", "7").await;
    obeyed(&cluster, NAMESPACE, "7").await;
    untouched(&cluster, NAMESPACE, "8", other).await;

    // Not the other way round.
    assert_eq!(cluster.instance(1).invalidate("?wait=all", &key_event("8")).send().await.status, 200);
    obeyed(&cluster, NAMESPACE, "8").await;
    untouched(&cluster, "accounts", "8", other).await;
}

#[tokio::test]
async fn instances_of_different_versions_of_a_namespace_share_no_entry_and_obey_the_same_events() {
    let mut cluster = Cluster::with(Setup { instances: 2, ..three() }).await;
    let bumped = &mut cluster.nodes[1].instance;
    bumped.configure("namespaces.things.version", 2);
    bumped.restart().await;
    let (old, new) = (cluster.instance(0), cluster.instance(1));
    cluster.origin.set("k", 1);
    assert_eq!(version(&old.get(NAMESPACE, "k").send().await), 1);
    cluster.origin.set("k", 2);
    let miss = new.get(NAMESPACE, "k").send().await;
    assert_eq!(version(&miss), 2, "{miss:?}");
    assert_eq!(cluster.origin.reads("k"), 2);
    assert_eq!(version(&old.get(NAMESPACE, "k").send().await), 1, "nothing said that its copy is wrong");

    cluster.origin.set("k", 3);
    let purged = new.invalidate("?wait=all", &key_event("k")).send().await;
    assert_eq!(purged.status, 200);
    for instance in [old, new] {
        assert_eq!(version(&instance.get(NAMESPACE, "k").send().await), 3);
    }
    assert_eq!(cluster.origin.reads("k"), 4, "each version has its own entry");
}
