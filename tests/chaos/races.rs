//! Races that are forced: a load has read the origin, something is invalidated, and only then does the load end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::readers::Reader;
use super::spaces::{BRIEF, EAGER, Object, PLAIN, RACED, TAGGED, Target, serves_stale};
use super::ways::Publisher;
use super::world::{Endpoint, World};
use crate::harness::origin::Gate;
use crate::harness::task::spawn;
use crate::history::Floor;

/// For a load to stand at the gate: less than the origin's own time.
const ARRIVES: Duration = Duration::from_millis(500);
/// For a joiner to join.
const JOINS: Duration = Duration::from_millis(30);
/// Past the fresh time of [`BRIEF`] and [`EAGER`], within their stale one.
const EXPIRES: Duration = Duration::from_millis(600);
/// Between two races, at the most.
const PAUSE_MAX: Duration = Duration::from_millis(300);

/// Forces races on keys that nobody else touches.
#[derive(Clone)]
pub(super) struct Racer {
    world: Arc<World>,
    books: Arc<Books>,
    reader: Reader,
    publisher: Publisher,
}

impl Racer {
    /// A racer with connections of its own.
    pub(super) fn new(world: &Arc<World>, books: &Arc<Books>) -> Self {
        Self {
            world: Arc::clone(world),
            books: Arc::clone(books),
            reader: Reader::new(books),
            publisher: Publisher::new(world, books),
        }
    }

    /// One race after the other on that key, until `stop`.
    pub(super) async fn run(self, key: &'static str, mut rng: StdRng, stop: CancellationToken) {
        assert!(RACED.contains(&key), "the key is there for races");
        while !stop.is_cancelled() {
            match rng.random_range(0..5) {
                0 => self.copies_against_key(key, &mut rng).await,
                1 => self.fill_against_key(key, &mut rng).await,
                2 => self.fill_against_tag(key, &mut rng).await,
                3 => self.refresh_against_tag(key, &mut rng).await,
                _ => self.late_joiner(key, &mut rng).await,
            }
            sleep(PAUSE_MAX.mul_f64(rng.random())).await;
        }
    }

    /// Everybody has a copy when the event that makes it old is acknowledged.
    async fn copies_against_key(&self, key: &str, rng: &mut StdRng) {
        let object = Object::new(PLAIN, key);
        self.read_everywhere(&object).await;
        self.books.commit(&object);
        self.publisher.http(Target::key(&object), false, true, rng).await;
        self.read_everywhere(&object).await;
    }

    /// A load brings what an event about its key has made old.
    async fn fill_against_key(&self, key: &str, rng: &mut StdRng) {
        let object = Object::new(PLAIN, key);
        let wait = rng.random_bool(0.5);
        self.race(&object, Target::key(&object), wait, rng).await;
    }

    /// A load brings what an event about a tag has made old, which only its answer names.
    async fn fill_against_tag(&self, key: &str, rng: &mut StdRng) {
        let object = Object::new(TAGGED, key);
        let wait = rng.random_bool(0.5);
        self.race(&object, Target::own_tag(&object), wait, rng).await;
    }

    /// The same with a load for which nobody waits.
    async fn refresh_against_tag(&self, key: &str, rng: &mut StdRng) {
        let object = Object::new(if rng.random_bool(0.5) { BRIEF } else { EAGER }, key);
        join_all(self.world.endpoints.iter().map(|all| self.reader.read(all, &object, Floor::None))).await;
        sleep(EXPIRES).await;
        let wait = rng.random_bool(0.5);
        self.race(&object, Target::own_tag(&object), wait, rng).await;
    }

    async fn race(&self, object: &Object, target: Target, wait: bool, rng: &mut StdRng) {
        // Without a copy there is a load.
        if !serves_stale(object.space) {
            self.publisher.http(Target::key(object), false, false, rng).await;
        }
        let gate = self.world.origin.hold(&object.to_string());
        let first = self.somewhere(rng);
        let load = self.start(&first, object);
        if arrived(&gate).await {
            self.books.commit(object);
            self.publisher.http(target, false, wait, rng).await;
        }
        gate.release();
        load.await.expect("a reader does not panic");
        self.read_everywhere(object).await;
    }

    /// A request joins a load that read the origin before what has been acknowledged since.
    async fn late_joiner(&self, key: &str, rng: &mut StdRng) {
        let object = Object::new(PLAIN, key);
        self.publisher.http(Target::key(&object), false, false, rng).await;
        let gate = self.world.origin.hold(&object.to_string());
        let endpoint = self.somewhere(rng);
        let first = self.start(&endpoint, &object);
        let mut late = None;
        if arrived(&gate).await {
            self.books.commit(&object);
            self.publisher.http(Target::key(&object), false, true, rng).await;
            late = Some(self.start(&endpoint, &object));
            sleep(JOINS).await;
        }
        gate.release();
        first.await.expect("a reader does not panic");
        if let Some(late) = late {
            late.await.expect("a reader does not panic");
        }
    }

    async fn read_everywhere(&self, object: &Object) {
        join_all(self.world.endpoints.iter().map(|all| self.reader.read(all, object, Floor::None))).await;
    }

    fn start(&self, endpoint: &Endpoint, object: &Object) -> crate::harness::task::Task {
        let (reader, endpoint, object) = (self.reader.clone(), endpoint.clone(), object.clone());
        spawn(async move {
            reader.read(&endpoint, &object, Floor::None).await;
        })
    }

    fn somewhere(&self, rng: &mut StdRng) -> Endpoint {
        self.world.endpoints.choose(rng).expect("a world has instances").clone()
    }
}

/// Whether a load stands at the gate; it may have been spared it, or never have come.
async fn arrived(gate: &Gate) -> bool {
    let began = Instant::now();
    while gate.count() == 0 {
        if ARRIVES < began.elapsed() {
            return false;
        }
        sleep(Duration::from_millis(2)).await;
    }
    true
}
