//! Who brings writes to the origin when a worker is gone, stops, or is no longer the one.

use super::{arrived, drained, effects, put, read, setup};
use crate::harness::clock::Clocks;
use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::origin::Effect;
use crate::harness::resp::Reply;
use crate::harness::server::Options;
use crate::harness::wait::{SOON, eventually};

/// What is in hand of a worker, told by what the origin holds.
#[tokio::test]
async fn another_takes_over_from_a_worker_that_was_killed() {
    let mut cluster = Cluster::with(setup(2, "behind")).await;
    let gate = cluster.origin.hold_writes("k");
    put(cluster.instance(0), "k", "v").await;
    gate.arrived(1).await;
    let owner = owner(&cluster).await;
    cluster.nodes[owner].instance.kill().await;
    gate.arrived(2).await;
    gate.release();
    arrived(&cluster, "k", Some("v")).await;
    drained(cluster.instance(1 - owner)).await;
    let applied = effects(&cluster, "k").iter().filter(|(_, effect)| *effect == Effect::Applied).count();
    assert_eq!(applied, 1, "the same write twice is no second write");
    assert_eq!(read(cluster.instance(1 - owner), "k").await.1, "v");
}

/// What was taken an hour ahead seems to be taken in an hour: nobody may wait for that.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
async fn another_takes_over_what_was_taken_before_the_servers_clock_went_back() {
    let Some(clocks) = Clocks::build() else {
        eprintln!("left out: clocks cannot be stepped without Linux and a C compiler");
        return;
    };
    clocks.set("server", 3_600);
    let server = Options::default().env(clocks.variables("server"));
    let setup = Setup { server, ..setup(2, "behind") };
    let mut cluster = Cluster::with(setup).await;
    let gate = cluster.origin.hold_writes("k");
    put(cluster.instance(0), "k", "v").await;
    gate.arrived(1).await;
    let owner = owner(&cluster).await;
    clocks.set("server", 0);
    cluster.nodes[owner].instance.kill().await;
    gate.arrived(2).await;
    gate.release();
    arrived(&cluster, "k", Some("v")).await;
    drained(cluster.instance(1 - owner)).await;
}

/// The instance that has the queue in which the key is: the one whose connection brought the write.
async fn owner(cluster: &Cluster) -> usize {
    let mut owners = Vec::new();
    for partition in 0..8 {
        let key = format!("coherd:{{main}}:w:{partition}");
        if cluster.server.command(&["XLEN", &key]).await.integer() != 0 {
            let owner = cluster.server.command(&["GET", &format!("{key}:owner")]).await.text();
            owners.push(owner[1..].to_owned());
        }
    }
    assert_eq!(owners.len(), 1, "{owners:?}");
    let mut nodes = cluster.nodes.iter();
    nodes
        .position(|node| owners[0].starts_with(node.instance.id()))
        .unwrap_or_else(|| panic!("{owners:?} is no instance"))
}

#[tokio::test]
async fn an_instance_that_stops_finishes_what_it_has_in_hand_and_gives_the_queues_up() {
    // Nobody would take them over by himself.
    let mut cluster = Cluster::with(setup(2, "behind").set("write_behind.takeover", "10m")).await;
    let gate = cluster.origin.hold_writes("k");
    put(cluster.instance(0), "k", "v").await;
    gate.arrived(1).await;
    let owner = owner(&cluster).await;
    cluster.nodes[owner].instance.terminate();
    eventually("it is draining", SOON, async || !cluster.nodes[owner].instance.is_ready().await).await;
    gate.release();
    assert!(cluster.nodes[owner].instance.exit(SOON).await.success());
    arrived(&cluster, "k", Some("v")).await;
    assert_eq!(cluster.origin.writes("k").len(), 1);
    put(cluster.instance(1 - owner), "k", "w").await;
    arrived(&cluster, "k", Some("w")).await;
}

#[tokio::test]
async fn a_write_that_hangs_holds_up_no_other_of_its_queue() {
    // Its worker would not look again by itself while the test lasts.
    let setup = setup(1, "behind").set("write_behind.takeover", "10m").set("write_behind.partitions", 1);
    let cluster = Cluster::with(setup.namespace("origin.timeout", "60s")).await;
    let gate = cluster.origin.hold_writes("hanging");
    put(cluster.instance(0), "hanging", "v").await;
    gate.arrived(1).await;
    put(cluster.instance(0), "k", "v").await;
    arrived(&cluster, "k", Some("v")).await;
    gate.release();
    drained(cluster.instance(0)).await;
}

/// One place at the origin, and somebody who has it.
fn crowded(instances: usize) -> Setup {
    let setup = setup(instances, "behind").set("write_behind.partitions", 1);
    setup.namespace("origin.max_concurrency", 1).namespace("origin.timeout", "60s")
}

/// Lines of the only queue that are in hand.
async fn in_hand(cluster: &Cluster, lines: i64) {
    eventually("they are in hand", SOON, async || {
        let pending = cluster.server.command(&["XPENDING", "coherd:{main}:w:0", "coherd"]).await;
        matches!(&pending, Reply::Array(parts) if parts[0] == Reply::Integer(lines))
    })
    .await;
}

/// Where it is read from, it is not there any more.
#[tokio::test]
async fn a_value_is_not_read_where_it_was_accepted() {
    let cluster = Cluster::with(crowded(1)).await;
    let gate = cluster.origin.hold_writes("first");
    put(cluster.instance(0), "first", "v").await;
    gate.arrived(1).await;
    put(cluster.instance(0), "k", "v").await;
    in_hand(&cluster, 2).await;
    assert_eq!(effects(&cluster, "k"), []);
    let entry = format!("coherd:{{main}}:e:{NAMESPACE}:v1:k");
    assert_eq!(cluster.server.command(&["HDEL", &entry, "v"]).await.integer(), 1);
    gate.release();
    arrived(&cluster, "k", Some("v")).await;
    drained(cluster.instance(0)).await;
}

/// Its worker has no value of it, and reads none that is newer under its number.
#[tokio::test]
async fn what_is_superseded_while_it_waits_for_its_place_is_not_brought() {
    let cluster = Cluster::with(crowded(2)).await;
    let gate = cluster.origin.hold_writes("first");
    put(cluster.instance(0), "first", "v").await;
    gate.arrived(1).await;
    let other = 1 - owner(&cluster).await;
    put(cluster.instance(other), "k", "old").await;
    in_hand(&cluster, 2).await;
    put(cluster.instance(other), "k", "new").await;
    gate.release();
    arrived(&cluster, "k", Some("new")).await;
    drained(cluster.instance(other)).await;
    assert_eq!(effects(&cluster, "k"), [(Some("new".to_owned()), Effect::Applied)]);
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_handed_back() {
    let setup = setup(2, "behind").set("write_behind.takeover", "10m");
    let setup = setup.namespace("origin.timeout", "60s").set("instance.shutdown_grace", "500ms");
    let mut cluster = Cluster::with(setup).await;
    let gate = cluster.origin.hold_writes("k");
    put(cluster.instance(0), "k", "v").await;
    gate.arrived(1).await;
    let owner = owner(&cluster).await;
    cluster.nodes[owner].instance.terminate();
    cluster.nodes[owner].instance.exit(SOON).await;
    gate.arrived(2).await;
    gate.release();
    arrived(&cluster, "k", Some("v")).await;
    drained(cluster.instance(1 - owner)).await;
}

#[tokio::test]
async fn writes_of_queues_that_are_no_longer_there_are_brought_all_the_same() {
    let mut cluster = Cluster::with(setup(1, "behind").set("write_behind.partitions", 16)).await;
    for n in 0..40 {
        cluster.origin.behave(
            &n.to_string(),
            crate::harness::origin::Behaviour {
                writes: Some(crate::harness::origin::Fault::Status(503)),
                ..crate::harness::origin::Behaviour::default()
            },
        );
        put(cluster.instance(0), &n.to_string(), "v").await;
    }
    cluster.nodes[0].instance.configure("write_behind.partitions", 2);
    cluster.nodes[0].instance.restart().await;
    for n in 0..40 {
        cluster.origin.behave(&n.to_string(), crate::harness::origin::Behaviour::default());
    }
    for n in 0..40 {
        arrived(&cluster, &n.to_string(), Some("v")).await;
    }
}

#[tokio::test]
async fn no_consumers_pile_up() {
    let mut cluster = Cluster::with(setup(1, "behind").set("write_behind.partitions", 1)).await;
    for n in 0..3 {
        put(cluster.instance(0), "k", &n.to_string()).await;
        arrived(&cluster, "k", Some(&n.to_string())).await;
        cluster.nodes[0].instance.restart().await;
    }
    let groups = cluster.server.command(&["XINFO", "CONSUMERS", "coherd:{main}:w:0", "coherd"]).await;
    assert_eq!(groups.items().len(), 1, "{groups:?}");
}

/// How many queues each instance has.
async fn shares(cluster: &Cluster) -> Vec<usize> {
    let mut shares = vec![0; cluster.nodes.len()];
    for partition in 0..8 {
        let owner = cluster.server.command(&["GET", &format!("coherd:{{main}}:w:{partition}:owner")]).await;
        if let Reply::Text(owner) = owner {
            let owner = String::from_utf8_lossy(&owner[1..]).into_owned();
            let of = cluster.nodes.iter().position(|node| owner.starts_with(node.instance.id()));
            shares[of.unwrap_or_else(|| panic!("{owner} is no instance"))] += 1;
        }
    }
    shares
}

#[tokio::test]
async fn the_queues_are_shared_by_those_that_are_there() {
    let mut cluster = Cluster::with(setup(3, "behind")).await;
    let wanted = |mut of: Vec<usize>, wanted: [usize; 3]| {
        of.sort_unstable();
        of == wanted
    };
    eventually("each has its share", SOON, async || wanted(shares(&cluster).await, [2, 3, 3])).await;
    for n in 0..40 {
        put(cluster.instance(n % 3), &n.to_string(), "v").await;
    }
    for n in 0..40 {
        arrived(&cluster, &n.to_string(), Some("v")).await;
    }
    cluster.nodes[2].instance.kill().await;
    eventually("the others share what it had", SOON, async || wanted(shares(&cluster).await, [0, 4, 4]))
        .await;
    cluster.nodes[2].instance.restart().await;
    eventually("it has its share again", SOON, async || wanted(shares(&cluster).await, [2, 3, 3])).await;
    cluster.nodes[1].instance.terminate();
    assert!(cluster.nodes[1].instance.exit(SOON).await.success());
    eventually("the others share what it gave up", SOON, async || wanted(shares(&cluster).await, [0, 4, 4]))
        .await;
    put(cluster.instance(0), "last", "v").await;
    arrived(&cluster, "last", Some("v")).await;
}
