//! The hottest keys of an instance that stops in order: left in Valkey, and in L1 of the next before it is ready.

use serde_json::json;
use tokio::time::Instant;

use super::{from_l1, read};
use crate::harness::instance::{Cluster, Config, Instance, NAMESPACE, Setup};
use crate::harness::proxy::Proxy;
use crate::harness::resp::Reply;
use crate::harness::wait::SOON;

/// Long enough for reads of a few dozen keys by an instance that is cut off.
const STALENESS: &str = "30s";

async fn stop(cluster: &mut Cluster, number: usize) {
    let instance = &mut cluster.nodes[number].instance;
    instance.terminate();
    assert_eq!(instance.exit(SOON).await.code(), Some(0), "{}", instance.output());
}

/// A new instance of the cluster, ready, and its wire to Valkey.
async fn next(cluster: &Cluster) -> (Instance, Proxy) {
    let wire = Proxy::start(cluster.server.addr()).await;
    let config = Config::new("next", &cluster.server.url_at(wire.addr()))
        .namespace(NAMESPACE, &cluster.origin.url())
        .set("coherence.max_staleness", STALENESS);
    (Instance::start(config).await, wire)
}

async fn kept(cluster: &Cluster) -> Vec<String> {
    let list = cluster.server.command(&["ZREVRANGE", "coherd:{main}:hot:things", "0", "-1"]).await;
    list.items().iter().map(Reply::text).collect()
}

fn setup(instances: usize) -> Setup {
    Setup::new(instances).set("coherence.max_staleness", STALENESS)
}

#[tokio::test]
async fn what_an_instance_read_most_the_next_has_in_l1_when_it_is_ready() {
    let mut cluster = Cluster::with(setup(1)).await;
    let keys: Vec<String> = (0..50).map(|n| format!("k{n}")).collect();
    for (n, key) in keys.iter().enumerate() {
        cluster.origin.set(key, 1);
        for _ in 0..=n % 5 {
            read(cluster.instance(0), key).await;
        }
    }
    stop(&mut cluster, 0).await;
    let left = kept(&cluster).await;
    assert_eq!(left.len(), keys.len());
    assert!(left[..10].iter().all(|key| key.ends_with(['4', '9'])), "the hottest first: {left:?}");

    let (next, wire) = next(&cluster).await;
    let loads = cluster.origin.requests();
    wire.cut().await;
    for key in &keys {
        assert_eq!(read(&next, key).await, from_l1(1), "{key}");
    }
    assert_eq!(cluster.origin.requests(), loads, "no load");
    let line = next.output();
    let line = line.lines().find(|line| line.contains("the hottest keys of the instances before"));
    assert!(line.is_some_and(|line| line.contains(r#""cached":50"#)), "{line:?}");
}

#[tokio::test]
async fn what_several_instances_leave_is_there_for_the_next() {
    let mut cluster = Cluster::with(setup(3)).await;
    for (number, key) in ["a", "b", "c"].iter().enumerate() {
        cluster.origin.set(key, 1);
        read(cluster.instance(number), key).await;
        stop(&mut cluster, number).await;
    }
    let (next, _wire) = next(&cluster).await;
    for key in ["a", "b", "c"] {
        assert_eq!(read(&next, key).await, from_l1(1), "{key}");
    }
    assert_eq!(cluster.origin.requests(), 3);
}

#[tokio::test]
async fn what_was_invalidated_meanwhile_is_not_answered() {
    let mut cluster = Cluster::with(setup(2)).await;
    for key in ["hard", "soft", "neither"] {
        cluster.origin.set(key, 1);
        read(cluster.instance(0), key).await;
    }
    stop(&mut cluster, 0).await;
    for (key, soft) in [("hard", false), ("soft", true)] {
        cluster.origin.bump(key);
        let event = json!({"namespace": NAMESPACE, "keys": [key], "soft": soft});
        assert_eq!(cluster.instance(1).invalidate("", &event).send().await.status, 202);
    }
    let (next, _wire) = next(&cluster).await;
    let loads = cluster.origin.requests();
    for key in ["hard", "soft"] {
        assert_eq!(read(&next, key).await, (200, Some(2), "origin".to_owned()), "{key}");
    }
    assert_eq!(read(&next, "neither").await, from_l1(1));
    assert_eq!(cluster.origin.requests(), loads + 2);

    // What the next has taken is invalidated like any other copy.
    cluster.origin.bump("neither");
    let event = json!({"namespace": NAMESPACE, "keys": ["neither"]});
    assert_eq!(cluster.instance(1).invalidate("?wait=all", &event).send().await.status, 200);
    assert_eq!(read(&next, "neither").await.1, Some(2));
}

#[tokio::test]
async fn what_is_not_in_l2_is_passed_over() {
    let mut cluster = Cluster::with(setup(1)).await;
    for key in ["gone", "there"] {
        cluster.origin.set(key, 1);
        read(cluster.instance(0), key).await;
    }
    stop(&mut cluster, 0).await;
    cluster.server.command(&["DEL", "coherd:{main}:e:things:v1:gone"]).await;
    let (next, _wire) = next(&cluster).await;
    assert_eq!(cluster.origin.requests(), 2, "the origin is not asked");
    assert_eq!(read(&next, "there").await, from_l1(1));
    assert_eq!(read(&next, "gone").await.2, "origin");
}

#[tokio::test]
async fn a_valkey_that_is_dead_or_does_not_answer_holds_no_stop_up() {
    for hangs in [false, true] {
        let mut cluster = Cluster::start(1).await;
        cluster.origin.set("k", 1);
        read(cluster.instance(0), "k").await;
        if hangs {
            cluster.server.pause();
        } else {
            cluster.server.kill().await;
        }
        let told = Instant::now();
        stop(&mut cluster, 0).await;
        assert!(told.elapsed() < SOON / 2, "{:?}", told.elapsed());
        let output = cluster.instance(0).output();
        assert!(
            output.contains("the hottest keys were not kept")
                || output.contains("not all of the hottest keys")
        );
    }
}

#[tokio::test]
async fn an_instance_that_finds_junk_in_place_of_the_list_starts_like_any_other() {
    let cluster = Cluster::with(setup(0)).await;
    let hot = "coherd:{main}:hot:things";
    cluster.server.command(&["ZADD", hot, "nan", "x", "1", "", "2", "k"]).await;
    cluster.server.command(&["ZADD", hot, "1", "", "2", "k", "inf", &"l".repeat(600)]).await;
    let (first, _wire) = next(&cluster).await;
    assert_eq!(read(&first, "k").await.0, 404);
    cluster.server.command(&["SET", hot, "junk"]).await;
    let (second, _wire) = next(&cluster).await;
    assert_eq!(read(&second, "k").await.0, 404);
}
