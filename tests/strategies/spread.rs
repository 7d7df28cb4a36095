//! How refreshes ahead of the time are spread: over many keys that were loaded together, as `XFetch` has it.
//!
//! With a draw every `D` by all readers together, a load time `delta` and `beta`, no draw has been early enough up to `x`
//! before the expiry with a probability of about `exp(-(delta * beta / D) * exp(-x / (delta * beta)))`. Half of all keys
//! are so refreshed within 1.57 * delta * beta, however often they are read.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

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

/// How long before the expiry of its first copy each key was loaded again, in load times, in ascending order.
fn leads(cluster: &Cluster, space: &str) -> Vec<f64> {
    let lead = |key: &String| {
        let arrivals = cluster.origin.arrivals(key);
        let again = arrivals.get(1).unwrap_or_else(|| panic!("{key} was not refreshed"));
        (LIFE.as_secs_f64() - (*again - arrivals[0]).as_secs_f64()) / LOAD.as_secs_f64()
    };
    let mut leads: Vec<f64> = keys(space).iter().map(lead).collect();
    leads.sort_by(f64::total_cmp);
    leads
}

#[tokio::test]
async fn refreshes_are_spread_before_the_expiry_as_the_load_time_and_beta_say() {
    let setup = Setup::new(3).set("log.level", "info").beside(EAGER).set("defaults.ttl", "8s");
    let setup = setup.set("defaults.ttl_jitter", 0.0).namespace("refresh_ahead", 1.0);
    let cluster = Cluster::with(setup.set(&format!("namespaces.{EAGER}.refresh_ahead"), BETA)).await;
    for key in [NAMESPACE, EAGER].iter().flat_map(|space| keys(space)) {
        cluster.origin.set(&key, 1);
    }
    cluster.origin.behave_always(Behaviour { delay: LOAD, ..Behaviour::default() });

    let began = Instant::now();
    let readers = cluster.nodes.iter().flat_map(|node| [NAMESPACE, EAGER].map(|space| (node, space)));
    join_all(readers.map(|(node, space)| async move {
        let client = Client::keeping();
        while began.elapsed() < LIFE {
            read(&client, &node.instance, space).await;
            sleep(PAUSE).await;
        }
    }))
    .await;

    let (calm, eager) = (leads(&cluster, NAMESPACE), leads(&cluster, EAGER));
    let quartiles = |leads: &[f64]| [1, 2, 3].map(|quarter| leads[KEYS * quarter / 4]);
    for (leads, beta) in [(&calm, 1.0), (&eager, BETA)] {
        assert!(leads.iter().all(|lead| 0.0 < *lead), "before the expiry: {leads:?}");
        let [first, median, third] = quartiles(leads);
        // 60 keys show the half that lies between to within a third or so.
        let half = (third - first) / beta;
        assert!((0.8..2.6).contains(&half), "half of the keys within {half} * delta * beta: {leads:?}");
        assert!((1.5..7.0).contains(&(median / beta)), "the median is {median}: {leads:?}");
    }
    let ratio = quartiles(&eager)[1] / quartiles(&calm)[1];
    assert!((2.0..6.0).contains(&ratio), "the more eager are {ratio} times as early");
    // Three instances drew for every key, and one of them refreshed it.
    for key in keys(NAMESPACE) {
        assert_eq!(cluster.origin.reads(&key), 2, "{key}");
    }
}
