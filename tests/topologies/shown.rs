//! What operators see of several shards: status, explain, tail, ping.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::fleet::{Fleet, Servers, parts};
use crate::harness::command;
use crate::harness::instance::{NAMESPACE, coherd};
use crate::harness::process::Process;
use crate::harness::wait::{SOON, eventually};

async fn operators_see_all_shards(servers: Servers) {
    let (url, shards) = (servers.place().0, servers.shards());
    let fleet = Fleet::over(servers, &[]).await;
    let direct = ["--backend".to_owned(), url, "--shards".to_owned(), shards.to_string()];
    fleet.set(1);
    fleet.warm(1).await;
    let id = fleet.publish(0, &json!({ "tags": ["team:7"] })).await["id"].clone();
    let keys = Fleet::keys();
    fleet.publish(1, &json!({ "namespace": NAMESPACE, "keys": [keys[0]] })).await;

    let at = &fleet.instances[2];
    let stats = at.admin("/stats").await;
    assert_eq!(stats["attached"], true);
    for of in ["cursor", "head"] {
        assert_eq!(parts(&stats["log"][of]), usize::from(shards), "{stats}");
    }
    assert_eq!(stats["members"].as_array().map(Vec::len), Some(3), "{stats}");
    let status = command::coherd(&["status", "--admin-url", &at.admin_url("")]).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.out.contains("inst-0") && status.out.contains("attached"), "{status:?}");

    let mut seen = BTreeSet::new();
    for key in &keys {
        let explained = at.admin(&format!("/v1/explain/{NAMESPACE}/{key}")).await;
        let shard = explained["shard"].as_u64().expect("a number");
        assert!(shard < u64::from(shards) && explained["attached"] == true, "{explained}");
        assert_eq!(parts(&explained["cursor"]), 1, "that of its shard: {explained}");
        seen.insert(shard);
    }
    assert_eq!(seen.len(), usize::from(shards), "every shard has keys");

    let folder = TempDir::new().expect("a folder");
    let mut follow = coherd();
    follow.args(["tail", "--json", "--from", "start"]).args(&direct);
    let tail = Process::spawn("coherd tail", &mut follow, &folder.path().join("tail"));
    let events = || -> Vec<Value> {
        tail.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    // Those of every shard, as each has them.
    let tagged = || events().iter().filter(|event| event["tags"] == json!(["team:7"])).count();
    eventually("the tail shows the events", SOON, async || {
        tagged() == usize::from(shards) && events().iter().any(|event| event["keys"] == json!([keys[0]]))
    })
    .await;
    let shown: BTreeSet<String> = events().iter().map(|event| event["id"].to_string()).collect();
    let id = id.as_str().expect("an id");
    for part in id.split(',') {
        assert!(shown.contains(&json!(part).to_string()), "{part} of {id} in {shown:?}");
    }

    let arguments: Vec<&str> = ["ping"].into_iter().chain(direct.iter().map(String::as_str)).collect();
    let ping = command::coherd(&arguments).await;
    assert!(ping.code == Some(0) && ping.out.contains("round trip"), "{ping:?}");
}

#[tokio::test]
async fn operators_see_all_shards_on_one_server() {
    operators_see_all_shards(Servers::one().await).await;
}

#[tokio::test]
async fn operators_see_all_shards_on_a_cluster() {
    operators_see_all_shards(Servers::ring().await).await;
}
