//! Readers: one key, several at once, many keys; with and without a demand.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::client::{Answer, Client, Failed};
use super::ledger::Taken;
use super::spaces::{KEYS, LOADED, OPEN, Object};
use super::world::Endpoint;
use super::written::WRITTEN;
use crate::history::{Floor, Happened, Outcome};

/// Longer than an instance that runs takes for any answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two reads of one reader, at the most.
const PAUSE_MAX: Duration = Duration::from_millis(60);

/// Reads and writes down what it got.
#[derive(Clone)]
pub(super) struct Reader {
    books: Arc<Books>,
    client: Client,
}

impl Reader {
    /// A reader with connections of its own.
    pub(super) fn new(books: &Arc<Books>) -> Self {
        Self { books: Arc::clone(books), client: Client::new(PATIENCE) }
    }

    /// Reads from that instance until `stop`.
    pub(super) async fn run(self, endpoint: Endpoint, mut rng: StdRng, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.step(&endpoint, &mut rng).await;
            sleep(PAUSE_MAX.mul_f64(rng.random())).await;
        }
    }

    async fn step(&self, endpoint: &Endpoint, rng: &mut StdRng) {
        let space = LOADED.choose(rng).expect("there are namespaces");
        let object = self.books.any_of(space, rng);
        match rng.random_range(0..100) {
            0..10 => {
                let together = rng.random_range(2..5);
                join_all((0..together).map(|_| self.read(endpoint, &object, Floor::None))).await;
            }
            10..22 => self.read_many(endpoint, space, Floor::None).await,
            22..25 => self.read_many(endpoint, space, Floor::Strict).await,
            25..40 => {
                if let Some((event, id)) = self.books.recent(rng) {
                    self.read_since(endpoint, &object, event, &id).await;
                }
            }
            40..47 => drop(self.read(endpoint, &object, Floor::Strict).await),
            _ => drop(self.read(endpoint, &object, Floor::None).await),
        }
    }

    /// Reads one key.
    pub(super) async fn read(&self, endpoint: &Endpoint, object: &Object, floor: Floor) -> Outcome {
        let headers: &[(&str, &str)] =
            if floor == Floor::Strict { &[("coherd-consistency", "strict")] } else { &[] };
        self.ask(endpoint, object, headers, floor).await
    }

    /// Reads one key, nothing older than that event.
    async fn read_since(&self, endpoint: &Endpoint, object: &Object, event: u64, id: &str) {
        self.ask(endpoint, object, &[("coherd-min-log-id", id)], Floor::Event(event)).await;
    }

    /// Reads an object that was written, nothing older than that.
    pub(super) async fn read_written(&self, endpoint: &Endpoint, taken: &Taken) {
        let headers = [("coherd-min-log-id", taken.log_id.as_str())];
        self.ask(endpoint, &taken.object, &headers, Floor::Write(taken.number)).await;
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        object: &Object,
        headers: &[(&str, &str)],
        floor: Floor,
    ) -> Outcome {
        let started = self.books.history().now();
        let url = format!("{}/v1/cache/{object}", endpoint.data);
        let outcome = outcome(object, &self.client.send("GET", &url, headers, "").await);
        self.note(started, endpoint, object, floor, outcome.clone());
        outcome
    }

    /// Reads the hot keys of a namespace at once.
    async fn read_many(&self, endpoint: &Endpoint, space: &'static str, floor: Floor) {
        let headers: &[(&str, &str)] =
            if floor == Floor::Strict { &[("coherd-consistency", "strict")] } else { &[] };
        let started = self.books.history().now();
        let url = format!("{}/v1/cache/{space}?keys={}", endpoint.data, KEYS.join(","));
        let answer = self.client.send("GET", &url, headers, "").await;
        for key in KEYS {
            let object = Object::new(space, key);
            let outcome = match &answer {
                Ok(whole) if whole.status == 200 => member(&object, &whole.json()[key]),
                other => outcome(&object, other),
            };
            self.note(started, endpoint, &object, floor.clone(), outcome);
        }
    }

    fn note(&self, started: u64, endpoint: &Endpoint, object: &Object, floor: Floor, outcome: Outcome) {
        let (instance, object) = (endpoint.id.clone(), object.to_string());
        self.books.history().record(started, Happened::Read { instance, object, floor, outcome });
    }
}

/// What an answer to a read of one key says.
pub(super) fn outcome(object: &Object, answer: &Result<Answer, Failed>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failed) => return Outcome::Failed { hung: *failed == Failed::Hung },
    };
    if answer.status != 200 {
        let lease = answer.header("coherd-lease").is_some();
        let code = answer.json()["code"].as_str().unwrap_or("").to_owned();
        return match answer.status {
            404 if lease => Outcome::Absent { leased: true },
            // The application's own database has it: the cache said nothing about it.
            404 if LOADED.contains(&object.space) || WRITTEN.contains(&object.space) => {
                Outcome::Absent { leased: false }
            }
            status => Outcome::Refused { status, code },
        };
    }
    let Some(version) = answer.json()["version"].as_u64() else {
        return Outcome::Refused { status: 200, code: "no version".to_owned() };
    };
    let status = answer.header("cache-status").unwrap_or("");
    let hit = status.contains("; hit");
    let part = |name: &str| status.split("; ").find_map(|part| part.strip_prefix(name));
    let collapsed = status.contains("; collapsed").then_some("collapsed");
    let via = part("detail=").or(collapsed).unwrap_or("miss").to_owned();
    let over = part("ttl=").and_then(|ttl| ttl.parse::<i64>().ok()).is_some_and(|ttl| ttl <= 0);
    let detached = hit && via == "detached";
    Outcome::Value {
        version,
        // An instance that is cut off says that in the place where else it says that a copy is stale.
        stale: via == "stale" || (detached && over),
        available: detached && object.space == OPEN,
        via,
    }
}

/// What a member of the answer to a read of many keys says.
fn member(object: &Object, member: &serde_json::Value) -> Outcome {
    let status = member["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    let Some(version) = member["value"]["version"].as_u64().filter(|_| status == 200) else {
        let code = member["code"].as_str().unwrap_or("").to_owned();
        return if status == 404 {
            Outcome::Absent { leased: false }
        } else {
            Outcome::Refused { status, code }
        };
    };
    let via = member["cache"].as_str().unwrap_or("").to_owned();
    let hit = matches!(via.as_str(), "l1" | "l2" | "stale");
    let available = hit && member["detached"] == true && object.space == OPEN;
    Outcome::Value { version, stale: via == "stale", available, via }
}
