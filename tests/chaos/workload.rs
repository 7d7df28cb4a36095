//! Everybody who reads, writes and publishes, from their start to their end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::aside::Aside;
use super::books::Books;
use super::ledger::Ledger;
use super::observer;
use super::races::Racer;
use super::readers::Reader;
use super::spaces::{LOADED, RACED};
use super::ways::Publisher;
use super::world::World;
use super::writers::Writer;
use crate::harness::task::{Task, spawn};

/// Readers of each instance.
const READERS: usize = 2;
/// Those who change objects at the origin.
const WRITERS: usize = 3;
/// Cache-aside clients that read.
const ASIDE_READERS: usize = 3;
/// Between two changes of one writer, at the most.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A running workload.
pub(super) struct Workload {
    stop: CancellationToken,
    tasks: Vec<Task>,
    /// Goes on until the very end.
    observer: (CancellationToken, Task),
}

impl Workload {
    /// Starts everybody; each draws from a seed of its own.
    pub(super) fn start(world: &Arc<World>, books: &Arc<Books>, ledger: &Arc<Ledger>) -> Self {
        let mut seeds = StdRng::seed_from_u64(world.seed);
        let mut rng = || StdRng::seed_from_u64(seeds.random());
        let stop = CancellationToken::new();
        let mut tasks = Vec::new();
        for endpoint in &world.endpoints {
            for _ in 0..READERS {
                tasks.push(spawn(Reader::new(books).run(endpoint.clone(), rng(), stop.clone())));
            }
        }
        for _ in 0..WRITERS {
            tasks.push(spawn(write(Arc::clone(world), Arc::clone(books), rng(), stop.clone())));
        }
        for _ in 0..ASIDE_READERS {
            tasks.push(spawn(Aside::new(world, books).read(rng(), stop.clone())));
        }
        tasks.push(spawn(Aside::new(world, books).write(rng(), stop.clone())));
        for key in RACED {
            tasks.push(spawn(Racer::new(world, books).run(key, rng(), stop.clone())));
        }
        let writer = || Writer::new(world, books, ledger);
        for endpoint in &world.endpoints {
            tasks.push(spawn(writer().run(rng(), stop.clone())));
            tasks.push(spawn(writer().read(endpoint.clone(), rng(), stop.clone())));
        }
        tasks.push(spawn(writer().poison(rng(), stop.clone())));
        let last = CancellationToken::new();
        let observer = spawn(observer::follow(Arc::clone(world), Arc::clone(books), last.clone()));
        Self { stop, tasks, observer: (last, observer) }
    }

    /// Everybody ends what they are at; the observer goes on.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        for ended in join_all(self.tasks.drain(..)).await {
            ended.expect("nobody of the workload panics");
        }
    }

    /// The observer ends too.
    pub(super) async fn end(self) {
        let (last, observer) = self.observer;
        last.cancel();
        observer.await.expect("the observer does not panic");
    }
}

/// Changes objects at the origin and says so, until `stop`.
async fn write(world: Arc<World>, books: Arc<Books>, mut rng: StdRng, stop: CancellationToken) {
    let publisher = Publisher::new(&world, &books);
    while !stop.is_cancelled() {
        let object = books.any_of(LOADED.choose(&mut rng).expect("there are namespaces"), &mut rng);
        books.commit(&object);
        publisher.announce(&object, &mut rng).await;
        sleep(PAUSE_MAX.mul_f64(rng.random())).await;
    }
}
