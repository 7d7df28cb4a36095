//! Every alert fires when what it warns of happens, and none before: a real Prometheus with the real rules, in which a
//! minute is a second, watches real instances whose world is broken one way after the other.

mod around;
mod below;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::prometheus::{Prometheus, Target};
use super::rules::{faster, names, rules};
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::server::Options;
use crate::harness::task::{Task, spawn};

/// Longer than any alert takes once its fault is there.
const PATIENCE: Duration = Duration::from_secs(60);
/// A namespace that is read all the time.
const STEADY: &str = "steady";
/// A namespace whose origin fails.
const BROKEN: &str = "broken";
/// Keys that are read all the time: `k0` and up.
const KEYS: u64 = 5;
/// One of them.
const READ: &str = "k0";
/// Between two rounds of reads.
const PAUSE: Duration = Duration::from_millis(200);

/// Instances that are watched, and read all the time.
struct World {
    cluster: Cluster,
    prometheus: Prometheus,
    targets: Vec<Target>,
    reads: Arc<Reads>,
    /// The alerts that were waited for, and fired.
    fired: Mutex<BTreeSet<String>>,
    _reader: Task,
}

/// How the reads go on.
#[derive(Default)]
struct Reads {
    /// Keys that nobody has read before, in place of those that all have.
    cold: AtomicBool,
    done: AtomicU64,
}

impl World {
    /// Starts it, and sees that nothing fires while nothing is broken.
    async fn start() -> Self {
        let mut setup = Setup::new(3).beside(STEADY).beside(BROKEN);
        setup.server = Options::default().appendonly().set("appendfsync", "everysec");
        let setup = setup
            .set("log.level", "info")
            .set("monitor.sample", 1.0)
            .namespace("write", "behind")
            .set("write_behind.partitions", 1)
            .set("write_behind.backlog_max", 10)
            .set("write_behind.retry.max", "1s")
            .set("write_behind.retry.attempts", 1_000)
            .set(&format!("namespaces.{STEADY}.ttl"), "10m")
            .set(&format!("namespaces.{BROKEN}.origin.retries"), 0);
        let cluster = Cluster::with(setup).await;
        for number in 0..KEYS {
            cluster.origin.set(&format!("k{number}"), 1);
        }
        let reads = Arc::new(Reads::default());
        let urls = cluster.nodes.iter().map(|node| node.instance.url(&format!("/v1/cache/{STEADY}/")));
        let reader = spawn(read(urls.collect(), Arc::clone(&reads)));
        let prometheus = Prometheus::start(&faster(&rules())).await;
        let pages = cluster.nodes.iter().map(|node| node.instance.admin_url("/metrics"));
        let targets = pages.map(|url| Target::of(&url, "main")).collect();
        let world = Self { cluster, prometheus, targets, reads, fired: Mutex::default(), _reader: reader };
        world.prometheus.scrape(&world.targets);
        world.is_quiet().await;
        world
    }

    /// Waits until nothing has fired for a while: what fires without a reason does so for good. At their start instances
    /// may be slow on a machine that is busy, and an alert may say so.
    async fn is_quiet(&self) {
        let calm = async || {
            let scraped = self.prometheus.query("count_over_time(up[16s]) >= 28").await.len();
            let fired = self.prometheus.query(r#"last_over_time(ALERTS{alertstate="firing"}[16s])"#).await;
            scraped == self.targets.len() && fired.is_empty()
        };
        let start = Instant::now();
        while !calm().await {
            assert!(start.elapsed() < PATIENCE, "without a reason: {:?}", self.prometheus.firing().await);
            sleep(PAUSE).await;
        }
    }

    /// Waits until the alert fires, and sees that its texts could be filled in.
    async fn fires(&self, name: &str) {
        let start = Instant::now();
        while !self.prometheus.firing().await.contains(name) {
            assert!(
                start.elapsed() < PATIENCE,
                "{name} does not fire; {:?} do",
                self.prometheus.firing().await
            );
            sleep(PAUSE).await;
        }
        self.fired.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        for alert in self.prometheus.alerts().await {
            let texts = alert["annotations"].to_string();
            let filled = !["<no value>", "<error", "{{", "NaN"].iter().any(|it| texts.contains(it));
            assert!(filled, "{}: {texts}", alert["labels"]["alertname"]);
        }
    }

    /// Breaks something again and again until the alerts fire.
    async fn fire_while(&self, names: &[&str], mut fault: impl AsyncFnMut()) {
        let all = async {
            for name in names {
                self.fires(name).await;
            }
        };
        let again = async {
            loop {
                fault().await;
            }
        };
        tokio::select! {
            () = all => {}
            () = again => {}
        }
    }

    /// That these have fired, and no other was waited for.
    fn caused(self, names: &[&str]) {
        let fired = self.fired.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(fired, names.iter().map(|it| (*it).to_owned()).collect());
    }

    /// One event about nothing that is read.
    async fn publish(&self) {
        let event = json!({"namespace": STEADY, "keys": ["nobody-reads-this"]});
        self.cluster.instance(0).invalidate("", &event).send().await;
    }
}

/// Reads the same keys of every instance over and over, or always others.
async fn read(urls: Vec<String>, reads: Arc<Reads>) {
    let client = Client::keeping();
    loop {
        for url in &urls {
            for key in 0..KEYS {
                let number = reads.done.fetch_add(1, Ordering::Relaxed);
                let key = if reads.cold.load(Ordering::Relaxed) {
                    format!("cold-{number}")
                } else {
                    format!("k{key}")
                };
                // An error is an instance that was killed on purpose.
                client.get(&format!("{url}{key}")).try_send().await.ok();
            }
        }
        sleep(PAUSE).await;
    }
}

#[test]
fn each_alert_is_caused_in_one_of_the_worlds() {
    let caused: BTreeSet<_> =
        around::CAUSED.iter().chain(&below::CAUSED).map(|it| (*it).to_owned()).collect();
    assert_eq!(caused, names().into_iter().collect());
}
