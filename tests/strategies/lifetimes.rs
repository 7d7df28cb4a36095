//! How long copies live: the namespace's time, varied, or what the origin says.

use std::collections::BTreeSet;

use super::{get, max_age};
use crate::harness::instance::{Cluster, Setup};
use crate::harness::origin::Behaviour;

#[tokio::test]
async fn what_is_loaded_together_does_not_expire_together() {
    let setup = Setup::new(1).namespace("ttl", "1000s").namespace("ttl_jitter", 0.1);
    let cluster = Cluster::with(setup).await;
    let mut lives = BTreeSet::new();
    for number in 0..40 {
        let key = format!("k{number}");
        cluster.origin.set(&key, 1);
        lives.insert(max_age(&get(cluster.instance(0), &key).await));
    }
    assert!(lives.iter().all(|life| (900..=1100).contains(life)), "{lives:?}");
    assert!(10 < lives.len() && 50 < lives.last().unwrap() - lives.first().unwrap(), "{lives:?}");
}

#[tokio::test]
async fn an_origin_that_says_how_long_is_believed_up_to_the_longest_time() {
    let setup = Setup::new(1).namespace("ttl", "77s").namespace("ttl_max", "1h").namespace("ttl_jitter", 0.0);
    let setup = setup.beside("deaf").set("namespaces.deaf.origin.cache_control", "ignore");
    let cluster = Cluster::with(setup.set("namespaces.deaf.ttl_jitter", 0.0)).await;
    let instance = cluster.instance(0);
    let said =
        [("", 77), ("max-age=5", 5), ("max-age=5, s-maxage=9", 9), ("max-age=999999", 3600), ("public", 77)];
    for (number, (control, expected)) in said.into_iter().enumerate() {
        let key = format!("k{number}");
        cluster.origin.set(&key, 1);
        cluster.origin.behave(&key, Behaviour::default().header("cache-control", control));
        assert_eq!(max_age(&get(instance, &key).await), expected, "{control}");
        let deaf = instance.get("deaf", &key).send().await;
        assert_eq!(max_age(&deaf), 60, "{control}");
    }
}
