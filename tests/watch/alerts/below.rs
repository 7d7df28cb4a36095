//! What goes wrong below: Valkey, and instances that are gone or not where they should be.

use std::time::Duration;

use tokio::time::sleep;

use super::{NAMESPACE, STEADY, World};
use crate::harness::instance::{Config, Instance};
use crate::harness::resp::Reply;
use crate::harness::server::Server;
use crate::watch::prometheus::Target;

/// What this world makes fire.
pub(super) const CAUSED: [&str; 7] = [
    "CoherdBackendErrors",
    "CoherdBackendUnsafe",
    "CoherdDetached",
    "CoherdInstanceDown",
    "CoherdMembersMissing",
    "CoherdResyncStorm",
    "CoherdViolation",
];

#[tokio::test]
async fn of_what_breaks_below_every_alert_tells() {
    let mut world = World::start().await;
    a_server_that_keeps_nothing(&world).await;
    an_instance_elsewhere(&world).await;
    a_foreign_hand(&mut world).await;
    a_server_that_forgets(&world).await;
    an_instance_that_is_killed(&mut world).await;
    a_server_that_is_gone(&mut world).await;
    world.caused(&CAUSED);
}

/// Somebody switches the append-only file off; instances see it when they next connect.
async fn a_server_that_keeps_nothing(world: &World) {
    let server = &world.cluster.server;
    assert_eq!(server.command(&["CONFIG", "SET", "appendonly", "no"]).await.text(), "OK");
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    world.fires("CoherdBackendUnsafe").await;
}

/// One more instance of the cluster, as Prometheus knows it, with a Valkey of its own.
async fn an_instance_elsewhere(world: &World) {
    let other = Server::start().await;
    let config = Config::new("inst-elsewhere", &other.url_at(other.addr()));
    let instance = Instance::start(config.namespace(NAMESPACE, &world.cluster.origin.url())).await;
    let mut targets = world.targets.clone();
    targets.push(Target::of(&instance.admin_url("/metrics"), "main"));
    world.prometheus.scrape(&targets);
    world.fires("CoherdMembersMissing").await;
    world.prometheus.scrape(&world.targets);
}

/// Somebody puts an old entry back, and takes away what Valkey has against it; an instance that is new has nothing
/// against it either. Nothing less makes coherd break its promise.
async fn a_foreign_hand(world: &mut World) {
    const KEY: &str = "tampered";
    let entry = format!("coherd:{{main}}:e:{STEADY}:v1:{KEY}");
    world.cluster.origin.set(KEY, 1);
    assert_eq!(world.cluster.instance(0).get(STEADY, KEY).send().await.status, 200);
    let Reply::Text(old) = world.cluster.server.command(&["DUMP", &entry]).await else { panic!("no entry") };

    world.cluster.origin.set(KEY, 2);
    assert_eq!(world.cluster.instance(0).purge(STEADY, KEY).send().await.status, 200);
    let server = &world.cluster.server;
    server.command(&["DEL", "coherd:{main}:wm:0", "coherd:{main}:wm:1"]).await;
    server.command(&[&b"RESTORE"[..], entry.as_bytes(), b"0", &old, b"REPLACE"]).await;
    world.cluster.nodes[1].instance.restart().await;
    let instance = world.cluster.instance(1);
    assert_eq!(instance.get(STEADY, KEY).send().await.json()["version"], 1, "the old entry is answered");
    world
        .fire_while(&["CoherdViolation"], async || {
            instance.get(STEADY, KEY).send().await;
            sleep(Duration::from_millis(200)).await;
        })
        .await;
}

/// Somebody empties the server, over and over.
async fn a_server_that_forgets(world: &World) {
    world
        .fire_while(&["CoherdResyncStorm"], async || {
            world.cluster.server.command(&["FLUSHALL"]).await;
            sleep(Duration::from_secs(2)).await;
        })
        .await;
}

async fn an_instance_that_is_killed(world: &mut World) {
    world.cluster.nodes[2].instance.kill().await;
    world.fires("CoherdInstanceDown").await;
}

async fn a_server_that_is_gone(world: &mut World) {
    world.cluster.server.kill().await;
    for name in ["CoherdDetached", "CoherdBackendErrors"] {
        world.fires(name).await;
    }
}
