//! How refreshes ahead of the time are spread, over many keys that were loaded together.
//!
//! With a draw every `D` by all readers together, a load time `delta` and `beta`, `XFetch` lets a key expire with a
//! probability of about `exp(-delta * beta / D)`, and half of all keys are refreshed within 1.57 * delta * beta.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::total;
use crate::harness::http::Client;
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::Behaviour;

/// A namespace that is refreshed three times as eagerly as [`NAMESPACE`].
const EAGER: &str = "eager";
const BETA: f64 = 3.0;
/// Keys of each.
const KEYS: usize = 60;
/// What a load takes: delta.
const LOAD: Duration = Duration::from_millis(300);
/// Of every copy.
const LIFE: Duration = Duration::from_secs(8);
/// Between two reads of all keys of a namespace on one instance.
const PAUSE: Duration = Duration::from_millis(40);

fn keys(space: &str) -> Vec<String> {
    (0..KEYS).map(|number| format!("{space}{number}")).collect()
}

/// All keys in one request: nobody is refused, and nobody is answered with a stale copy.
async fn read(client: &Client, instance: &Instance, space: &str) {
    let url = instance.url(&format!("/v1/cache/{space}?keys={}", keys(space).join(",")));
    let answer = client.get(&url).send().await.json();
    let all = answer.as_object().expect("an object by key");
    let good = |entry: &&Value| entry["status"] == 200 && entry["cache"] != "stale";
    assert_eq!(all.values().filter(good).count(), KEYS, "{answer}");
}

/// How long before the expiry of its first copy each key was loaded again, in seconds, in ascending order; 0 for a key
/// that was not.
fn leads(cluster: &Cluster, space: &str) -> Vec<f64> {
    let lead = |key: &String| {
        let arrivals = cluster.origin.arrivals(key);
        arrivals.get(1).map_or(0.0, |again| LIFE.as_secs_f64() - (*again - arrivals[0]).as_secs_f64())
    };
    let mut leads: Vec<f64> = keys(space).iter().map(lead).collect();
    leads.sort_by(f64::total_cmp);
    leads
}

/// What loads took on average, as the instances measured it.
async fn delta(cluster: &Cluster, space: &str) -> f64 {
    let series = |part: &str| format!("coherd_origin_duration_seconds_{part}{{namespace=\"{space}\"}}");
    total(cluster, &series("sum")).await / total(cluster, &series("count")).await
}

#[tokio::test]
async fn refreshes_are_spread_before_the_expiry_and_earlier_with_a_greater_beta() {
    let setup = Setup::new(3).set("log.level", "info").beside(EAGER).set("defaults.ttl", "8s");
    let setup = setup.set("defaults.ttl_jitter", 0.0).namespace("refresh_ahead", 1.0);
    let cluster = Cluster::with(setup.set(&format!("namespaces.{EAGER}.refresh_ahead"), BETA)).await;
    for key in [NAMESPACE, EAGER].iter().flat_map(|space| keys(space)) {
        cluster.origin.set(&key, 1);
    }
    cluster.origin.behave_always(Behaviour { delay: LOAD, ..Behaviour::default() });

    let began = Instant::now();
    let readers = cluster.nodes.iter().flat_map(|node| [NAMESPACE, EAGER].map(|space| (node, space)));
    let draws = join_all(readers.map(|(node, space)| async move {
        let (client, mut draws) = (Client::keeping(), 0.0);
        while began.elapsed() < LIFE {
            read(&client, &node.instance, space).await;
            draws += 1.0;
            sleep(PAUSE).await;
        }
        draws
    }))
    .await;
    // Both namespaces were read by three readers each, about as often.
    let every = LIFE.as_secs_f64() / (draws.iter().sum::<f64>() / 2.0);

    let mut medians = Vec::new();
    for (space, beta) in [(NAMESPACE, 1.0), (EAGER, BETA)] {
        let (leads, scale) = (leads(&cluster, space), delta(&cluster, space).await * beta);
        let missed = leads.iter().take_while(|lead| **lead <= 0.0).count();
        let expected = (-scale / every).exp() * 60.0;
        #[expect(clippy::cast_precision_loss, reason = "a few keys")]
        let surprising = missed as f64 - 3.0 * expected;
        assert!(surprising <= 2.0, "{missed} expired, {expected} of 60 were to be expected: {leads:?}");
        // The law that they follow is held by the tests beside the code, where no machine is slow; here, that they are not
        // refreshed together.
        let middle = leads[KEYS * 3 / 4] - leads[KEYS / 4];
        assert!(scale / 2.0 < middle, "the middle half within {middle} s: {leads:?}");
        medians.push(leads[KEYS / 2]);
    }
    assert!(2.0 * medians[0] < medians[1], "the more eager are earlier: {medians:?}");
    // Three instances drew for every key, and one of them refreshed it.
    for key in keys(NAMESPACE) {
        assert!(cluster.origin.reads(&key) <= 2, "{key}: {} loads", cluster.origin.reads(&key));
    }
}
