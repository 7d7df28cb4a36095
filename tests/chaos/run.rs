//! One run: a fresh world, a workload while things break, and then peace, in which everybody must agree.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::aside::Aside;
use super::books::Books;
use super::readers::Reader;
use super::spaces::{ASIDE, Target};
use super::ways::Publisher;
use super::workload::Workload;
use super::world::{Setup, World};
use crate::harness::wait::eventually;
use crate::history::{Acknowledged, Floor, Happened, Outcome, Record, Verdict, check};

/// For what nobody knows of to be said again, and heard.
const PEACE: Duration = Duration::from_secs(30);

/// What a run has left.
pub(super) struct Ran {
    /// What happened.
    pub(super) records: Vec<Record>,
    /// What the checker says of it.
    pub(super) verdict: Verdict,
}

/// Runs a world for so long.
pub(super) async fn run(setup: Setup, length: Duration) -> Ran {
    let world = Arc::new(World::start(setup).await);
    let books = Arc::new(Books::open(Arc::clone(&world)));
    let mut workload = Workload::start(&world, &books);
    sleep(length).await;
    workload.stop().await;
    settle(&world, &books).await;
    workload.end().await;
    drop(books);
    let world = Arc::into_inner(world).expect("everybody has ended");
    let records = world.end().await;
    let verdict = check(&records);
    Ran { records, verdict }
}

/// Says again what nobody heard of, and reads everything everywhere.
async fn settle(world: &Arc<World>, books: &Arc<Books>) {
    let mut rng = StdRng::seed_from_u64(world.seed);
    world.level().await;
    let publisher = Publisher::new(world, books);
    for object in books.unannounced() {
        eventually(&format!("an event about {object} is acknowledged"), PEACE, async || {
            let said = publisher.http(Target::key(&object), false, false, &mut rng).await;
            said != Acknowledged::Unknown
        })
        .await;
    }
    world.level().await;
    world.history().record(world.history().now(), Happened::Settled);
    let reader = Reader::new(books);
    let aside = Aside::new(world, books);
    for object in books.objects() {
        for endpoint in &world.endpoints {
            if object.space == ASIDE {
                // Whoever is told to load does, and everybody after that gets it.
                let told = aside.load(endpoint, &object, Duration::ZERO, &mut rng).await;
                if !matches!(told, Outcome::Absent { leased: true }) {
                    continue;
                }
            }
            reader.read(endpoint, &object, Floor::None).await;
        }
    }
}
