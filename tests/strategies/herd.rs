//! A purge of everything under load: the origin meets no more than it can bear, the hottest keys first, and where stale
//! answers are allowed no reader meets an error.
//!
//! `COHERD_HERD_RATE` is how many reads a second are asked for, in place of the few that a debug build on a busy machine
//! can answer; `COHERD_BINARY` is what is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::seen;
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;
use crate::harness::resp::Reply;
use crate::harness::task::spawn;
use crate::harness::wait::{SOON, eventually};

/// Keys that are read.
const KEYS: usize = 400;
/// Loads at once that each of the two instances may make, and what each load takes: 200 a second in all.
const AT_ONCE: usize = 4;
const LOAD: Duration = Duration::from_millis(40);
/// Connections that read.
const READERS: u32 = 32;
/// How long they read, and when everything is purged meanwhile.
const WHILE: Duration = Duration::from_secs(5);
const PURGE_AFTER: Duration = Duration::from_secs(1);

fn rate() -> u32 {
    std::env::var("COHERD_HERD_RATE").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

fn keys() -> Vec<String> {
    (0..KEYS).map(|number| format!("k{number}")).collect()
}

async fn cluster(setup: Setup) -> Cluster {
    let setup = setup.set("log.level", "info").namespace("ttl", "1h").namespace("origin.timeout", "20s");
    let places = i64::try_from(AT_ONCE).expect("a few");
    let cluster =
        Cluster::with(setup.namespace("origin.max_concurrency", places).namespace("lease", "30s")).await;
    for key in keys() {
        cluster.origin.set(&key, 1);
    }
    cluster.origin.behave_always(Behaviour { delay: LOAD, ..Behaviour::default() });
    cluster
}

/// All keys in one request; the statuses of their answers, counted.
async fn read_all(cluster: &Cluster, number: usize) -> BTreeMap<u64, usize> {
    let path = format!("/v1/cache/{NAMESPACE}?keys={}", keys().join(","));
    let answer = cluster.instance(number).request("GET", &path).send().await.json();
    let mut statuses = BTreeMap::new();
    for entry in answer.as_object().expect("keys").values() {
        *statuses.entry(entry["status"].as_u64().expect("a status")).or_default() += 1;
    }
    statuses
}

/// What one reader saw: how many answers by status and detail, and the longest that it waited.
type Seen = (BTreeMap<(u16, String), u64>, Duration);

/// Reads keys, the first ones most, on both instances in turn, a read whenever it is due.
async fn reader(cluster: &Cluster, seed: u64, began: Instant) -> Seen {
    let (mut rng, client) = (StdRng::seed_from_u64(seed), Client::keeping());
    let every = Duration::from_secs(1) * READERS / rate();
    let (mut counts, mut slowest, mut due) = (BTreeMap::new(), Duration::ZERO, began);
    while began.elapsed() < WHILE {
        sleep_until(due).await;
        due = (due + every).max(Instant::now());
        let popular: f64 = rng.random::<f64>().powi(3);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a few hundred"
        )]
        let number = (popular * 400.0) as usize;
        let path = format!("/v1/cache/{NAMESPACE}/k{number}");
        let url = cluster.instance(number % 2).url(&path);
        let asked = Instant::now();
        let answer = client.get(&url).send().await;
        slowest = slowest.max(asked.elapsed());
        let (status, _, detail) = seen(&answer);
        *counts.entry((status, detail)).or_default() += 1;
    }
    (counts, slowest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the rate that this machine makes is part of the result")]
async fn readers_of_a_soft_purge_of_everything_meet_no_error_and_the_origin_no_more_than_its_limit() {
    let cluster = cluster(Setup::new(2).namespace("stale_while_revalidate", "10m")).await;
    for number in [0, 1] {
        assert_eq!(read_all(&cluster, number).await, BTreeMap::from([(200, KEYS)]));
    }
    let loads = cluster.origin.requests();
    let began = Instant::now();
    let purge = async {
        sleep_until(began + PURGE_AFTER).await;
        let event = json!({"namespace": NAMESPACE, "all": true, "soft": true});
        assert_eq!(cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    };
    let readers = join_all((0..u64::from(READERS)).map(|seed| reader(&cluster, seed, began)));
    let (readers, ()) = tokio::join!(readers, purge);
    let took = began.elapsed();
    let (mut counts, mut slowest) = (BTreeMap::new(), Duration::ZERO);
    for (seen, longest) in readers {
        for (kind, count) in seen {
            *counts.entry(kind).or_insert(0) += count;
        }
        slowest = slowest.max(longest);
    }
    let reads: u64 = counts.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let rate = reads as f64 / took.as_secs_f64();
    let loads = cluster.origin.requests() - loads;
    let peak = cluster.origin.peak();
    eprintln!(
        "{reads} reads, {rate:.0} a second; {counts:?}; {loads} loads, {peak} at once; slowest {slowest:.1?}"
    );

    let of = |detail: &str| counts.get(&(200, detail.to_owned())).copied().unwrap_or(0);
    assert_eq!(of("l1") + of("l2") + of("stale"), reads, "nobody waits and nobody meets an error");
    assert!(0 < of("stale"), "nothing was stale");
    assert!(peak <= 2 * AT_ONCE, "{peak} loads at once");
    let stale: BTreeSet<_> = keys().into_iter().collect();
    assert!(loads <= u64::try_from(stale.len()).expect("a few"), "{loads} loads, one a key at the most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_hard_purge_of_everything_the_hottest_keys_are_loaded_first() {
    const HOT: std::ops::Range<usize> = 380..400;
    let cluster = cluster(Setup::new(1)).await;
    let instance = cluster.instance(0);
    let blockers: Vec<String> = (0..AT_ONCE).map(|number| format!("b{number}")).collect();
    for key in &blockers {
        cluster.origin.set(key, 1);
    }
    assert_eq!(read_all(&cluster, 0).await, BTreeMap::from([(200, KEYS)]));
    let hot: Vec<String> = HOT.map(|number| format!("k{number}")).collect();
    for _ in 0..500 {
        let path = format!("/v1/cache/{NAMESPACE}?keys={}", hot.join(","));
        assert_eq!(instance.request("GET", &path).send().await.status, 200);
    }
    let event = json!({"namespace": NAMESPACE, "all": true});
    assert_eq!(instance.invalidate("?wait=all", &event).send().await.status, 200);
    // Every place at the origin is taken until all the others have lined up, the hot ones last.
    let gates: Vec<_> = blockers.iter().map(|key| cluster.origin.hold(key)).collect();
    let blocking: Vec<_> = blockers.iter().map(|key| spawn(instance.get(NAMESPACE, key).send())).collect();
    for gate in &gates {
        gate.arrived(1).await;
    }
    let before = cluster.origin.order().len();
    let came = Instant::now();
    let all = read_all(&cluster, 0);
    let release = async {
        eventually("all hold their leases", SOON, async || {
            let leases = cluster.server.command(&["KEYS", "coherd:{main}:l:things:*"]).await;
            matches!(&leases, Reply::Array(leases) if leases.len() == KEYS + AT_ONCE)
        })
        .await;
        let took = came.elapsed();
        for gate in &gates {
            gate.release();
        }
        took
    };
    let (all, took) = tokio::join!(all, release);
    assert_eq!(all, BTreeMap::from([(200, KEYS)]));
    for blocked in blocking {
        assert_eq!(blocked.await.unwrap().status, 200);
    }
    let order = cluster.origin.order();
    let first: Vec<_> = order[before..].iter().take(HOT.len() + AT_ONCE).collect();
    let hot = HOT.filter(|number| first.iter().any(|key| **key == format!("k{number}"))).count();
    // A head start of a few hundred milliseconds: where the machine took longer to line them up it is worth less.
    let least = if took < Duration::from_millis(300) { 18 } else { 6 };
    assert!(least <= hot, "{hot} of the 20 hottest are among the first, lined up in {took:?}: {first:?}");
    assert_eq!(cluster.origin.peak(), AT_ONCE);
}
