//! What goes wrong below: Valkey, and instances that are gone or not where they should be.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{NAMESPACE, READ, STEADY, World};
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
    a_foreign_hand(&world).await;
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

/// Somebody rewrites the log: an event that all have applied has named, it now says, a key that all go on answering.
/// Nothing less shows what an instance would look like that had not obeyed. A monitor that has read the true log already
/// goes by that, and so it is done again.
async fn a_foreign_hand(world: &World) {
    world
        .fire_while(&["CoherdViolation"], async || {
            rewrite(world).await;
            sleep(Duration::from_secs(4)).await;
        })
        .await;
}

async fn rewrite(world: &World) {
    const LOG: &str = "coherd:{main}:log";
    const UNREAD: &str = "nobody-reads-this";
    let event = json!({"namespace": STEADY, "keys": [UNREAD]});
    assert_eq!(world.cluster.instance(0).invalidate("?wait=all", &event).send().await.status, 200);
    let mut client = world.cluster.server.connect().await;
    let log = client.command(&["XRANGE", LOG, "-", "+"]).await.expect("the server answers");
    // At once, for a log that is gone for a moment would be missed.
    let mut forged = vec![vec!["MULTI".to_owned()], vec!["DEL".to_owned(), LOG.to_owned()]];
    for entry in log.items() {
        let [id, fields] = entry.items() else { panic!("an entry is an id and fields: {entry:?}") };
        let fields = fields.items().iter().map(Reply::text);
        let fields = fields.map(|it| if it == UNREAD { READ.to_owned() } else { it });
        forged.push(["XADD".to_owned(), LOG.to_owned(), id.text()].into_iter().chain(fields).collect());
    }
    forged.push(vec!["EXEC".to_owned()]);
    client.pipeline(&forged).await.expect("the server answers");
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
