//! The command line as programs use it: `invalidate`, `get`, `put`, `delete`, `status`, `ping`.

use serde_json::{Value, json};

use super::{head, hold, obeyed, three, version};
use crate::harness::command::{coherd, run};
use crate::harness::instance::{self, Cluster, NAMESPACE};
use crate::harness::wait::{SOON, eventually};

#[tokio::test]
async fn invalidate_goes_through_an_instance_or_straight_to_valkey() {
    let cluster = Cluster::with(three()).await;
    let server = &cluster.server;
    let (url, valkey) = (cluster.instance(2).url(""), server.url_at(server.addr()));
    let ways = [["--url", &url], ["--backend", &valkey]];
    for (number, way) in ways.iter().enumerate() {
        let key = format!("k{number}");
        hold(&cluster, NAMESPACE, &key).await;
        cluster.origin.bump(&key);
        let ran = coherd(&[&["invalidate", "-n", NAMESPACE, "--key", &key], &way[..]].concat()).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        assert_eq!(ran.out.trim_end(), head(server).await);
        obeyed(&cluster, NAMESPACE, &key).await;

        hold(&cluster, NAMESPACE, &key).await;
        cluster.origin.bump(&key);
        let ran = coherd(&[&["invalidate", "-n", NAMESPACE, "--prefix", "k"], &way[..]].concat()).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.contains("widened to the whole namespace"), "{ran:?}");
        obeyed(&cluster, NAMESPACE, &key).await;
    }
}

#[tokio::test]
async fn invalidate_with_wait_all_says_who_has_applied_it_and_nobody_answers_with_anything_older() {
    let cluster = Cluster::with(three()).await;
    hold(&cluster, NAMESPACE, "k").await;
    let now = cluster.origin.bump("k");
    let url = cluster.instance(0).url("");
    let line =
        ["invalidate", "-n", NAMESPACE, "--key", "k", "--wait", "all", "--timeout", "30s", "--url", &url];
    let ran = coherd(&line).await;
    for node in &cluster.nodes {
        assert_eq!(version(&node.instance.get(NAMESPACE, "k").send().await), now);
    }
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((ran.code, lines.len(), lines[0]), (Some(0), 2, &*head(&cluster.server).await), "{ran:?}");
    let mut applied: Vec<&str> =
        lines[1].strip_prefix("applied: ").expect("who has it").split(", ").collect();
    applied.sort_unstable();
    assert_eq!(applied, ["inst-0", "inst-1", "inst-2"]);
}

#[tokio::test]
async fn invalidate_ends_with_the_exit_code_of_what_went_wrong() {
    let cluster = Cluster::start(1).await;
    let url = cluster.instance(0).url("");
    let valkey = cluster.server.url_at(cluster.server.addr());
    let nobody = "127.0.0.1:1";
    let (no_url, no_valkey) = (format!("http://{nobody}"), format!("valkey://{nobody}/0"));
    for (line, code, why) in [
        (vec!["--url", &url], 2, "nothing is named"),
        (vec!["--key", "k", "--url", &url], 2, "need a namespace"),
        (vec!["--tag", "a b", "--url", &url], 2, "tag"),
        (vec!["--tag", "t", "--timeout", "1s", "--url", &url], 2, "--wait all"),
        (vec!["--tag", "t", "--wait", "all", "--backend", &valkey], 2, "needs an instance"),
        (vec!["-n", NAMESPACE, "--prefix", "k", "--exact", "--url", &url], 1, "ends on no boundary"),
        (vec!["-n", NAMESPACE, "--prefix", "k", "--exact", "--backend", &valkey], 2, "ends on no boundary"),
        (vec!["--tag", "t", "--url", &no_url], 3, "not reachable"),
        (vec!["--tag", "t", "--backend", &no_valkey], 3, "the backend is not"),
    ] {
        let ran = coherd(&[&["invalidate"], &line[..]].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{line:?}: {ran:?}");
        assert!(ran.err.contains(why), "{line:?}: {ran:?}");
    }
}

#[tokio::test]
async fn put_get_and_delete_store_read_and_remove() {
    let cluster = Cluster::with(three().set("namespaces.own.origin.kind", "none")).await;
    let (one, other) = (cluster.instance(0).url(""), cluster.instance(1).url(""));
    let put = ["put", "own", "a/b c", "--content-type", "text/plain", "--tag", "t", "--url", &one];
    let ran = run(instance::coherd().args(put), b"value\n").await;
    assert_eq!((ran.code, ran.err.contains("coherd-log-id: ")), (Some(0), true), "{ran:?}");
    let id = head(&cluster.server).await;
    assert!(ran.err.contains(&id), "{ran:?}");

    let read = cluster.instance(1).get("own", "a/b%20c").header("coherd-min-log-id", &id).send().await;
    assert_eq!((read.text().as_str(), read.header("content-type")), ("value\n", Some("text/plain")));
    let ran = coherd(&["get", "own", "a/b c", "--url", &other]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "value\n"), "{ran:?}");
    assert!(ran.err.contains("cache-status: coherd; hit"), "{ran:?}");

    let ran = coherd(&["delete", "own", "a/b c", "--url", &other]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = coherd(&["get", "own", "a/b c", "--url", &other]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("not_found") && ran.err.contains("coherd-lease: "), "{ran:?}");
}

#[tokio::test]
async fn status_and_ping_say_who_is_there() {
    let cluster = Cluster::with(three()).await;
    let admin = cluster.instance(1).admin_url("");
    let stats = eventually("the instance knows who is there", SOON, async || {
        let ran = coherd(&["status", "--json", "--admin-url", &admin]).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        let stats: Value = serde_json::from_str(&ran.out).expect("JSON");
        let members = stats["members"].as_array().expect("a list").iter();
        let mut members: Vec<_> = members.map(|it| it["id"].to_string()).collect();
        members.sort();
        (members == [r#""inst-0""#, r#""inst-1""#, r#""inst-2""#]).then_some(stats)
    })
    .await;
    assert_eq!((&stats["instance"], &stats["cluster"]), (&json!("inst-1"), &json!("main")));
    assert_eq!(stats["attached"], true);
    assert!(stats["namespaces"][NAMESPACE].is_object(), "{stats}");
    let ran = coherd(&["status", "--url", &admin]).await;
    assert!(ran.code == Some(0) && ran.out.contains("inst-1") && ran.out.contains(NAMESPACE), "{ran:?}");

    let valkey = cluster.server.url_at(cluster.server.addr());
    let ran = coherd(&["ping", "--backend", &valkey]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("round trip min") && ran.out.trim_end().ends_with("of 100"), "{ran:?}");
    let ran = coherd(&["ping", "--backend", "valkey://127.0.0.1:1/0"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
}
