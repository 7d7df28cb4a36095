//! What goes wrong around an instance: its origin, its wires, its publishers, its writes, its own tasks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::{BROKEN, NAMESPACE, World};
use crate::harness::origin::{Behaviour, Fault};
use crate::harness::proxy::Direction;
use crate::watch::failing::Supervised;
use crate::watch::prometheus::Target;

/// What this world makes fire.
pub(super) const CAUSED: [&str; 14] = [
    "CoherdBackendSlow",
    "CoherdBreakerOpen",
    "CoherdEventsRejected",
    "CoherdGaps",
    "CoherdHitRatioCollapsed",
    "CoherdInvalidationsLate",
    "CoherdOriginErrors",
    "CoherdRequestsFailing",
    "CoherdStalenessNearBound",
    "CoherdTaskDown",
    "CoherdTaskRestarts",
    "CoherdWritesBacklog",
    "CoherdWritesDead",
    "CoherdWritesOld",
];

/// A round trip over a slow wire: from heartbeat to heartbeat's answer more than three quarters of `max_staleness` go by,
/// and not all of it.
const SLOW: Duration = Duration::from_millis(720);
/// Writes that an origin does not take, of ten that may wait.
const STUCK: usize = 9;

#[tokio::test]
async fn of_what_breaks_around_an_instance_every_alert_tells() {
    let world = World::start().await;
    // What takes longest begins first, and needs nothing more but time.
    writes_that_do_not_drain(&world).await;
    tokio::join!(
        async {
            a_slow_wire(&world).await;
            a_subscription_that_breaks(&world).await;
        },
        async {
            publishers_and_tasks(&world).await;
            an_origin_that_fails(&world).await;
            readers_of_what_nobody_has(&world).await;
        },
    );
    world.fires("CoherdWritesOld").await;
    world.caused(&CAUSED);
}

async fn writes_that_do_not_drain(world: &World) {
    let writes = |fault| Behaviour { writes: Some(fault), ..Behaviour::default() };
    let (origin, instance) = (&world.cluster.origin, world.cluster.instance(0));
    origin.behave("refused", writes(Fault::Status(400)));
    assert_eq!(instance.put(NAMESPACE, "refused", "\"x\"").send().await.status, 202);
    world.fires("CoherdWritesDead").await;
    for number in 0..STUCK {
        let key = format!("stuck-{number}");
        origin.behave(&key, writes(Fault::Status(503)));
        assert_eq!(instance.put(NAMESPACE, &key, "\"x\"").send().await.status, 202);
    }
    world.fires("CoherdWritesBacklog").await;
}

/// Events and answers reach one instance late.
async fn a_slow_wire(world: &World) {
    let wire = world.cluster.wire(1);
    wire.delay(Direction::Down, SLOW);
    let late = ["CoherdInvalidationsLate", "CoherdBackendSlow", "CoherdStalenessNearBound"];
    world
        .fire_while(&late, async || {
            world.publish().await;
            sleep(Duration::from_millis(50)).await;
        })
        .await;
    wire.restore().await;
}

async fn a_subscription_that_breaks(world: &World) {
    world
        .fire_while(&["CoherdGaps"], async || {
            world.cluster.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            sleep(Duration::from_millis(500)).await;
        })
        .await;
}

async fn publishers_and_tasks(world: &World) {
    world.cluster.server.command(&["PUBLISH", "coherd:{main}:inbox", "{\"keys\": 1}"]).await;
    let supervised = Supervised::start().await;
    let mut targets = world.targets.clone();
    targets.push(Target::of(&supervised.url(), "tasks"));
    world.prometheus.scrape(&targets);
    world.fires("CoherdEventsRejected").await;
    supervised.fail();
    for name in ["CoherdTaskRestarts", "CoherdTaskDown"] {
        world.fires(name).await;
    }
    world.prometheus.scrape(&world.targets);
}

async fn an_origin_that_fails(world: &World) {
    let mut number = 0;
    let failing = ["CoherdBreakerOpen", "CoherdOriginErrors", "CoherdRequestsFailing"];
    world
        .fire_while(&failing, async || {
            let key = format!("broken-{number}");
            number += 1;
            let fault = Some(Fault::Status(500));
            world.cluster.origin.behave(&key, Behaviour { fault, ..Behaviour::default() });
            world.cluster.instance(0).get(BROKEN, &key).send().await;
            sleep(Duration::from_millis(50)).await;
        })
        .await;
}

/// For half a minute, half an hour of the rules, the same keys have been read; from now on always others.
async fn readers_of_what_nobody_has(world: &World) {
    world.reads.cold.store(true, Ordering::Relaxed);
    world.fires("CoherdHitRatioCollapsed").await;
    world.reads.cold.store(false, Ordering::Relaxed);
}
