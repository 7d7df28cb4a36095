//! `coherd tail --json`: every event, whichever door it came by, with its id and the way it took.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CTL, INBOX, key_event, logged, three};
use crate::harness::instance::{self, Cluster, NAMESPACE};
use crate::harness::process::Process;
use crate::harness::wait::{SOON, eventually};

/// A `coherd tail --json` that runs.
struct Tail {
    process: Process,
    _dir: TempDir,
}

impl Tail {
    fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let mut command = instance::coherd();
        command.args(["tail", "--json"]).args(arguments);
        let process = Process::spawn("coherd tail", &mut command, &dir.path().join("output"));
        Self { process, _dir: dir }
    }

    /// What it has printed so far, whole lines only.
    fn events(&self) -> Vec<Value> {
        let output = self.process.output();
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// Waits until it shows the event with that key or tag.
    async fn shows(&self, name: &str) -> Value {
        eventually(&format!("the tail shows `{name}`"), SOON, async || self.find(name)).await
    }

    fn find(&self, name: &str) -> Option<Value> {
        let named = |event: &Value| event["keys"] == json!([name]) || event["tags"] == json!([name]);
        self.events().into_iter().find(named)
    }
}

/// The ids of the log's events, oldest first.
async fn ids(cluster: &Cluster) -> Vec<String> {
    let range = cluster.server.command(&["XRANGE", super::LOG, "-", "+"]).await;
    range.items().iter().map(|entry| entry.items()[0].text()).collect()
}

#[tokio::test]
async fn it_shows_every_event_with_its_id_and_path() {
    let cluster = Cluster::with(three()).await;
    let (server, instance) = (&cluster.server, cluster.instance(1));
    let valkey = server.url_at(server.addr());
    let admin = instance.admin_url("");
    let through = Tail::start(&["--admin-url", &admin]);
    // It is connected once it shows anything.
    let mut probes = 0;
    eventually("the tail is connected", SOON, async || {
        probes += 1;
        let event = json!({ "tags": ["probe"] });
        cluster.instance(0).invalidate("?wait=all", &event).send().await;
        through.find("probe").is_some()
    })
    .await;
    let probes = logged(server).await;
    let straight = Tail::start(&["--from", "start", "--backend", &valkey]);

    let told = json!({
        "namespace": NAMESPACE, "keys": ["http"], "source": "billing", "reason": "plan changed", "request_id": "r1",
    });
    assert_eq!(cluster.instance(2).invalidate("", &told).send().await.status, 202);
    cluster.instance(0).purge(NAMESPACE, "purge").header("fastly-soft-purge", "1").send().await;
    server.command(&["FCALL", "coherd_invalidate", "1", CTL, "ns", NAMESPACE, "key", "fcall"]).await;
    server.command(&["XADD", INBOX, "*", "tag", "xadd", "src", "cron"]).await;
    server.command(&["PUBLISH", INBOX, &key_event("publish").to_string()]).await;

    for name in ["http", "purge", "fcall", "xadd", "publish"] {
        let seen = through.shows(name).await;
        assert_eq!(seen["path"], "pubsub", "{seen}");
        let read = straight.shows(name).await;
        assert_eq!((&seen["id"], &seen["at"]), (&read["id"], &read["at"]), "{seen} {read}");
    }
    let event = through.shows("http").await;
    for field in ["namespace", "keys", "source", "reason"] {
        assert_eq!(event[field], told[field], "{event}");
    }
    assert_eq!((&event["soft"], &event["request_id"]), (&json!(false), &json!("r1")), "{event}");
    assert_eq!(through.shows("purge").await["soft"], true);
    assert_eq!(through.shows("xadd").await["source"], "cron");

    let ids = ids(&cluster).await;
    let seen: Vec<Value> = straight.events().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(seen, ids, "from the start, each once and in order");
    let probes = usize::try_from(probes).expect("a count");
    let seen: Vec<Value> = through.events().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(seen[seen.len() - 5..], ids[probes..], "each once and in order");
}

#[tokio::test]
async fn an_event_that_was_not_heard_is_shown_as_read_from_the_log() {
    let cluster = Cluster::with(three()).await;
    let tail = Tail::start(&["--admin-url", &cluster.instance(1).admin_url("")]);
    eventually("the tail is connected", SOON, async || {
        cluster.instance(0).invalidate("?wait=all", &json!({ "tags": ["probe"] })).send().await;
        tail.find("probe").is_some()
    })
    .await;
    cluster.wire(1).cut().await;
    assert_eq!(cluster.instance(0).purge(NAMESPACE, "unheard").send().await.status, 200);
    cluster.wire(1).restore().await;
    let event = tail.shows("unheard").await;
    assert_eq!(event["path"], "stream", "{event}");
}
