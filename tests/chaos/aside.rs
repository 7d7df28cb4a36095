//! Cache-aside clients: those who read load and store under leases, one who writes says so with the value or without.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::client::Client;
use super::readers::{Reader, outcome};
use super::spaces::{ASIDE, Object, Target};
use super::ways::{Publisher, learned};
use super::world::{Endpoint, World};
use crate::history::{Acknowledged, Floor, Happened, Outcome, Way};

/// Longer than a reader waits for another's lease.
const PATIENCE: Duration = Duration::from_secs(4);
/// What becomes of a write must be known: as long as anything that stops an instance takes, and then its own limit.
const WRITE_PATIENCE: Duration = Duration::from_secs(90);
/// Between two reads of one client, at the most.
const PAUSE_MAX: Duration = Duration::from_millis(120);
/// How long the application's database takes, at the most: sometimes longer than the lease lasts.
const QUERY_MAX: Duration = Duration::from_millis(2_500);
/// Between two writes.
const WRITE_PAUSE_MAX: Duration = Duration::from_millis(500);

/// An application that caches aside.
#[derive(Clone)]
pub(super) struct Aside {
    world: Arc<World>,
    books: Arc<Books>,
    client: Client,
}

impl Aside {
    /// An application with connections of its own.
    pub(super) fn new(world: &Arc<World>, books: &Arc<Books>) -> Self {
        Self { world: Arc::clone(world), books: Arc::clone(books), client: Client::new(PATIENCE) }
    }

    /// Reads, and loads and stores what is missing, until `stop`.
    pub(super) async fn read(self, mut rng: StdRng, stop: CancellationToken) {
        let reader = Reader::new(&self.books);
        while !stop.is_cancelled() {
            let object = self.books.any_of(ASIDE, &mut rng);
            let floor = if rng.random_bool(0.1) { Floor::Strict } else { Floor::None };
            if floor == Floor::Strict {
                reader.read(self.somewhere(&mut rng), &object, floor).await;
            } else {
                let slow = QUERY_MAX.mul_f64(rng.random::<f64>().powi(6));
                self.load(&self.somewhere(&mut rng).clone(), &object, slow, &mut rng).await;
            }
            sleep(PAUSE_MAX.mul_f64(rng.random())).await;
        }
    }

    /// Reads one key; who is given the lease asks the database, which takes so long, and stores what it said.
    pub(super) async fn load(
        &self,
        endpoint: &Endpoint,
        object: &Object,
        slow: Duration,
        rng: &mut StdRng,
    ) -> Outcome {
        let started = self.books.history().now();
        let url = format!("{}/v1/cache/{object}", endpoint.data);
        let answer = self.client.send("GET", &url, &[], "").await;
        let outcome = outcome(object, &answer);
        let lease = answer.ok().and_then(|answer| answer.header("coherd-lease").map(str::to_owned));
        let read = Happened::Read {
            instance: endpoint.id.clone(),
            object: object.to_string(),
            floor: Floor::None,
            outcome: outcome.clone(),
        };
        self.books.history().record(started, read);
        if let Some(lease) = lease {
            let version = self.books.query(object);
            sleep(slow).await;
            // A balancer may have sent the second request elsewhere.
            let through = if rng.random_bool(0.3) { self.somewhere(rng).clone() } else { endpoint.clone() };
            self.store(&through, object, version, &lease).await;
        }
        outcome
    }

    async fn store(&self, endpoint: &Endpoint, object: &Object, version: u64, lease: &str) {
        let started = self.books.history().now();
        let url = format!("{}/v1/cache/{object}", endpoint.data);
        let headers = [("content-type", "application/json"), ("coherd-lease", lease)];
        let answer = self.client.send("PUT", &url, &headers, value(object, version)).await;
        let stored = match answer.map(|answer| answer.status) {
            Ok(204) => Some(true),
            Ok(409) => Some(false),
            _ => None,
        };
        let (instance, object) = (endpoint.id.clone(), object.to_string());
        self.books.history().record(started, Happened::Store { instance, object, version, stored });
    }

    /// Changes the database and says so, one object at a time, until `stop`.
    pub(super) async fn write(self, mut rng: StdRng, stop: CancellationToken) {
        let publisher = Publisher::new(&self.world, &self.books);
        while !stop.is_cancelled() {
            let object = self.books.any_of(ASIDE, &mut rng);
            let version = self.books.commit(&object);
            match rng.random_range(0..10) {
                0..4 => self.put(&object, version, &mut rng, &stop).await,
                4..6 => drop(publisher.delete(&object, &mut rng).await),
                _ => drop(publisher.announce(&object, &mut rng).await),
            }
            sleep(WRITE_PAUSE_MAX.mul_f64(rng.random())).await;
        }
    }

    /// `PUT` without a lease: the event and the value in one.
    ///
    /// Whoever puts without a lease overwrites whatever is there, whenever it takes effect. So nothing else changes the
    /// object meanwhile, and where nobody knows whether it took effect, or still will, the object is given up.
    async fn put(&self, object: &Object, version: u64, rng: &mut StdRng, stop: &CancellationToken) {
        let event = self.books.event(Target::key(object), false);
        let url = format!("{}/v1/cache/{object}", self.somewhere(rng).data);
        let headers = [("content-type", "application/json")];
        let patient = Client::new(WRITE_PATIENCE);
        let put = patient.send("PUT", &url, &headers, value(object, version));
        let answer = stop.run_until_cancelled(put).await.unwrap_or(Err(super::client::Failed::Hung));
        let acknowledged = learned(&answer);
        let known = acknowledged != Acknowledged::Unknown;
        self.books.close(&event, Way::Put, acknowledged);
        if !known {
            self.books.retire(object);
        }
    }

    fn somewhere(&self, rng: &mut StdRng) -> &Endpoint {
        self.world.endpoints.choose(rng).expect("a world has instances")
    }
}

fn value(object: &Object, version: u64) -> String {
    json!({ "key": object.to_string(), "version": version }).to_string()
}
