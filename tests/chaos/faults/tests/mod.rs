//! Each fault does what its name says, and the instances get over it.

mod clock;
mod load;
mod origin;
mod process;
mod server;
mod state;
mod wire;

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::{Kind, Struck, recovered, strike};
use crate::chaos::client::Client;
use crate::chaos::world::{Endpoint, MAX_STALENESS, Setup, World};

/// Long enough for an instance to notice that it is cut off.
const NOTICED: Duration = Duration::from_millis(1_700);
/// Whoever does not answer within this does not answer.
const QUICK: Duration = Duration::from_millis(300);

/// Two instances, attached.
async fn world() -> World {
    World::start(Setup::new(2, 1)).await
}

/// Strikes, and waits until all is well again.
async fn hit(kind: Kind, world: &World, hold: Duration) -> Struck {
    let struck = strike(kind, world, &mut StdRng::seed_from_u64(1), hold).await;
    recovered(world).await.expect("nothing else is broken");
    struck
}

/// As [`hit`], while every instance is looked at again and again: those of which `look` held at some moment.
async fn seen(
    kind: Kind,
    world: &World,
    hold: Duration,
    look: impl AsyncFn(&Endpoint) -> bool,
) -> (Struck, Vec<String>) {
    let mut seen = Vec::new();
    let looking = async {
        loop {
            for at in &world.endpoints {
                if !seen.contains(&at.id) && look(at).await {
                    seen.push(at.id.clone());
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut rng = StdRng::seed_from_u64(1);
    let struck = tokio::select! {
        struck = strike(kind, world, &mut rng, hold) => struck,
        () = looking => unreachable!("it looks until the fault is over"),
    };
    recovered(world).await.expect("nothing else is broken");
    (struck, seen)
}

/// Whether the instance says that it is not attached.
async fn detached(at: &Endpoint) -> bool {
    let page = Client::new(QUICK).text(&format!("{}/stats", at.admin)).await;
    page.is_some_and(|page| page.contains("\"attached\":false"))
}

/// Whether the instance does not answer.
async fn silent(at: &Endpoint) -> bool {
    Client::new(QUICK).text(&format!("{}/healthz", at.admin)).await.is_none()
}

/// Every instance's process.
async fn processes(world: &World) -> Vec<Option<u32>> {
    let mut ids = Vec::new();
    for node in &world.nodes {
        ids.push(node.lock().await.instance.process_id());
    }
    ids
}

/// How many connections have gone over every instance's wire.
async fn connections(world: &World) -> Vec<usize> {
    let mut counts = Vec::new();
    for node in &world.nodes {
        counts.push(node.lock().await.wire.connections().len());
    }
    counts
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(*kind));
    }
    let error = "kil".parse::<Kind>().expect_err("there is none of that name");
    assert!(error.contains("`kil`") && error.contains("kill-pubsub"), "{error}");
}

#[test]
fn d_is_noticed() {
    assert!(MAX_STALENESS * 2 < NOTICED);
}
