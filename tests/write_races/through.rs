//! Write-through: two writers, and a load beside a writer.

use std::env;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{KEY, at_origin, everywhere, had, put, setup};
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::origin::{Effect, Fault};

/// Rounds of [`two_writers_never_leave_the_losers_value`], unless `COHERD_ROUNDS` says otherwise.
const ROUNDS: usize = 400;
/// Keys whose rounds go on side by side.
const LANES: usize = 8;
/// From the effect at the origin to its answer, at the most: as long as everything else takes, so that whoever was first
/// at the origin is often the last to store.
const LATE: Duration = Duration::from_millis(8);

#[tokio::test]
async fn a_load_that_read_before_a_write_through_does_not_bring_back_what_was() {
    for write in ["through", "invalidate"] {
        let cluster = Cluster::with(setup(2, write)).await;
        cluster.origin.set(KEY, 1);
        let held = cluster.origin.hold(KEY);
        let load = cluster.instance(0).get(NAMESPACE, KEY).send();
        let race = async {
            held.arrived(1).await;
            let write = put(cluster.instance(1), "new", 200);
            let release = async {
                held.arrived(2).await;
                held.release_first(1);
                held.release();
            };
            tokio::join!(write, release);
        };
        tokio::join!(load, race);
        everywhere(&cluster, "new").await;
    }
}

#[tokio::test]
async fn a_write_through_that_is_answered_last_and_came_first_is_in_no_cache() {
    let cluster = Cluster::with(setup(2, "through")).await;
    let held = cluster.origin.hold_answers(KEY);
    let first = put(cluster.instance(0), "first", 200);
    let second = async {
        held.arrived(1).await;
        cluster.origin.hold_answers(KEY).release();
        put(cluster.instance(1), "second", 200).await;
        had(&cluster, "second", Effect::Applied).await;
        held.release();
    };
    tokio::join!(first, second);
    assert_eq!(at_origin(&cluster).await, "second");
    everywhere(&cluster, "second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_never_leave_the_losers_value() {
    let asked = env::var("COHERD_ROUNDS").ok();
    let rounds = asked.map_or(ROUNDS, |rounds| rounds.parse().expect("COHERD_ROUNDS is a number"));
    let cluster = Cluster::with(setup(2, "through").namespace("origin.timeout", "10s")).await;
    let lanes = (0..LANES).map(|lane| rounds_of(&cluster, lane, rounds.div_ceil(LANES)));
    let kept: usize = join_all(lanes).await.into_iter().sum();
    assert!(0 < kept, "no copy was ever kept");
}

/// Rounds of one key: two write, each through its instance; when both have their answers, both instances answer with
/// what the origin has. How often that was a copy.
async fn rounds_of(cluster: &Cluster, lane: usize, rounds: usize) -> usize {
    let mut rng = StdRng::seed_from_u64(u64::try_from(lane).expect("few lanes"));
    let (key, client) = (format!("lane-{lane}"), Client::keeping());
    let (url, mut kept) = (cluster.origin.url().replace("{key}", &key), 0);
    for round in 0..rounds {
        let late = [(); 2].map(|()| Fault::AnswerLate(LATE.mul_f64(rng.random::<f64>().powi(2))));
        cluster.origin.fail_next(&key, &late);
        let write = async |number: usize| {
            let at = cluster.instance(number);
            let value = format!("{lane} {round} {number}");
            let answer = client.put(&data(at, &key), value).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.header("coherd-log-id").expect("a write has an id").to_owned()
        };
        let (one, other) = tokio::join!(write(0), write(1));
        let seq =
            |id: &String| -> u64 { id.split('-').next().and_then(|seq| seq.parse().ok()).expect("a log id") };
        let last = if seq(&one) < seq(&other) { other } else { one };
        let winner = client.get(&url).send().await.text();
        for number in 0..2 {
            let at = cluster.instance(number);
            let named = client.get(&data(at, &key)).header("coherd-min-log-id", &last).send().await;
            // Having seen that, it answers no other way.
            let any = client.get(&data(at, &key)).send().await;
            for read in [named, any] {
                assert_eq!(read.text(), winner, "round {round} of {key} at {}", at.id());
                let hit = |status: &str| status.contains("; hit");
                kept += usize::from(read.header("cache-status").is_some_and(hit));
            }
        }
    }
    kept
}

fn data(at: &Instance, key: &str) -> String {
    at.url(&format!("/v1/cache/{NAMESPACE}/{key}"))
}
