//! P3: a request that names an event, or asks for everything logged so far, is never answered from older data.

use std::time::Duration;

use crate::harness::http::Request;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::proxy::{Direction, Proxy};
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};
use crate::promises::steps::{LONG, converges, publishes, read, send, setup, version_of, warm};

/// Instances that trust their copies long after their wires are broken, and do not wait for the server for long.
async fn cluster() -> Cluster {
    let cluster = Cluster::with(setup(LONG).set("backend.command_timeout", "300ms")).await;
    cluster.origin.set("k", 1);
    warm(&cluster, "k").await;
    cluster
}

/// The next version at the origin, and its event's id.
async fn change(cluster: &Cluster) -> (u64, String) {
    let version = cluster.origin.bump("k");
    let purged = cluster.instance(0).purge(NAMESPACE, "k").send().await;
    assert_eq!(purged.status, 200, "{purged:?}");
    (version, purged.header("coherd-log-id").expect("an event has an id").to_owned())
}

fn naming(request: Request, id: &str) -> Request {
    request.header("coherd-min-log-id", id)
}

fn strict(request: Request) -> Request {
    request.header("coherd-consistency", "strict")
}

/// Breaks an instance's wire while it has a copy and a lease, and asks it in every way.
async fn survives(break_wire: impl AsyncFnOnce(&Proxy)) {
    let cluster = cluster().await;
    let at = cluster.instance(2);
    break_wire(cluster.wire(2)).await;
    let (version, id) = change(&cluster).await;
    let plain = at.get(NAMESPACE, "k").send().await;
    assert_eq!(
        version_of(&plain),
        version - 1,
        "its copy may be answered, and so has to be kept back: {plain:?}"
    );
    let answers = [naming(at.get(NAMESPACE, "k"), &id), strict(at.get(NAMESPACE, "k"))].map(send);
    for answer in answers {
        let answer = answer.await.expect("the request does not panic").expect("it is answered");
        assert_eq!(version_of(&answer), version, "{answer:?}");
    }
    let bulk = naming(at.request("GET", "/v1/cache/things?keys=k"), &id).send().await;
    assert_eq!(bulk.json()["k"]["value"]["version"], version, "{bulk:?}");
    cluster.wire(2).restore().await;
    assert_eq!(version_of(&naming(at.get(NAMESPACE, "k"), &id).send().await), version);
    assert_eq!(version_of(&strict(at.get(NAMESPACE, "k")).send().await), version);
    converges(&cluster, &["k"]).await;
}

#[tokio::test]
async fn cut_off() {
    survives(async |wire| wire.cut().await).await;
}

#[tokio::test]
async fn half_open() {
    survives(async |wire| wire.stall()).await;
}

#[tokio::test]
async fn deaf() {
    survives(async |wire| wire.stall_one_way(Direction::Down)).await;
}

#[tokio::test]
async fn lagging() {
    let cluster = Cluster::with(setup(LONG)).await;
    let at = cluster.instance(2);
    cluster.origin.set("k", 1);
    warm(&cluster, "k").await;
    // More than a read waits for the log, and less than a lease.
    for delay in [50, 400] {
        cluster.wire(2).delay(Direction::Down, Duration::from_millis(delay));
        for round in 0..3 {
            let (version, id) = change(&cluster).await;
            let request = at.get(NAMESPACE, "k");
            let request = if round % 2 == 0 { naming(request, &id) } else { strict(request) };
            let answer = request.send().await;
            assert_eq!(version_of(&answer), version, "{answer:?}");
        }
    }
    cluster.wire(2).restore().await;
    converges(&cluster, &["k"]).await;
}

/// Makes the third instance the one that a primary which was replaced still answers; gives its replacement.
async fn leave_behind(cluster: &Cluster, prepare: impl AsyncFnOnce()) -> Server {
    let link = Proxy::start(cluster.server.addr()).await;
    let mut replica = cluster.server.replica(link.addr()).await;
    replica.follows().await;
    // A server that has never had a replica becomes another one with its first.
    publishes(cluster.nodes.iter().map(|node| &node.instance)).await;
    prepare().await;
    cluster.server.forsaken(&link).await;
    replica.promote().await;
    for node in &cluster.nodes[..2] {
        node.valkey.point_at(replica.addr());
        node.valkey.close_all();
    }
    publishes(cluster.nodes[..2].iter().map(|node| &node.instance)).await;
    replica
}

#[tokio::test]
async fn left_behind_with_a_primary_that_was_replaced() {
    // A lease that is not over when the replica has taken over: that takes seconds.
    let mut cluster = Cluster::with(setup(LONG * 2)).await;
    cluster.origin.set("k", 1);
    let replica = leave_behind(&cluster, async || {
        converges(&cluster, &["k"]).await;
        warm(&cluster, "k").await;
    })
    .await;

    let (version, id) = change(&cluster).await;
    let at = cluster.instance(2);
    let plain = at.get(NAMESPACE, "k").send().await;
    assert_eq!(version_of(&plain), version - 1, "its lease is not over: {plain:?}");
    let cached = || at.get(NAMESPACE, "k").header("cache-control", "only-if-cached");
    for request in [strict(cached()), naming(cached(), &id)] {
        let answer = request.send().await;
        assert_eq!(answer.status, 504, "{answer:?}");
    }
    for request in [strict(at.get(NAMESPACE, "k")), naming(at.get(NAMESPACE, "k"), &id)] {
        let answer = request.send().await;
        assert_eq!(version_of(&answer), version, "{answer:?}");
    }
    cluster.wire(2).point_at(replica.addr());
    cluster.wire(2).close_all();
    cluster.server = replica;
    converges(&cluster, &["k"]).await;
}

#[tokio::test]
async fn left_behind_where_the_application_loads() {
    const ASIDE: &str = "aside";
    let setup = setup(LONG * 2).set("namespaces.aside.origin.kind", "none");
    let cluster = Cluster::with(setup).await;
    let put = async |body: &'static str| {
        let put = cluster.instance(0).put(ASIDE, "k", body).send().await;
        put.header("coherd-log-id").unwrap_or_else(|| panic!("{put:?}")).to_owned()
    };
    let replica = leave_behind(&cluster, async || drop(put("old").await)).await;

    let id = put("new").await;
    let at = cluster.instance(2);
    let plain = at.get(ASIDE, "k").send().await;
    assert_eq!(plain.text(), "old", "its lease is not over: {plain:?}");
    for request in [strict(at.get(ASIDE, "k")), naming(at.get(ASIDE, "k"), &id)] {
        let answer = request.send().await;
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    cluster.wire(2).point_at(replica.addr());
    cluster.wire(2).close_all();
    for request in [
        |at: &Instance, _: &str| strict(at.get(ASIDE, "k")),
        |at: &Instance, id: &str| naming(at.get(ASIDE, "k"), id),
    ] {
        eventually("the instance answers with what is new", SOON, async || {
            let answer = request(at, &id).send().await;
            answer.status == 200 && answer.text() == "new"
        })
        .await;
    }
}

#[tokio::test]
async fn joining_a_load_that_began_before_the_event() {
    let cluster = cluster().await;
    let at = cluster.instance(2);
    for demand in [0, 1] {
        let gate = cluster.origin.hold("k");
        let first = send(at.get(NAMESPACE, "k").header("cache-control", "no-cache"));
        gate.arrived(1).await;
        let (version, id) = change(&cluster).await;
        let request = at.get(NAMESPACE, "k");
        let second = send(if demand == 0 { naming(request, &id) } else { strict(request) });
        assert_eq!(at.get("unknown", "k").send().await.status, 404);
        gate.release();
        first.await.expect("the request does not panic").expect("it is answered");
        let second = second.await.expect("the request does not panic").expect("it is answered");
        assert_eq!(version_of(&second), version);
    }
    converges(&cluster, &["k"]).await;
}

#[tokio::test]
async fn of_one_s_own_event_on_every_instance_at_once() {
    let cluster = cluster().await;
    for _ in 0..20 {
        let (version, id) = change(&cluster).await;
        let reads = cluster.nodes.iter().flat_map(|node| {
            let get = || node.instance.get(NAMESPACE, "k");
            [naming(get(), &id).send(), strict(get()).send()]
        });
        for answer in futures_util::future::join_all(reads).await {
            assert_eq!(version_of(&answer), version, "{answer:?}");
        }
    }
    assert_eq!(read(cluster.instance(0), "k").await, 21);
    converges(&cluster, &["k"]).await;
}
