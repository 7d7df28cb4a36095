//! Writers, and readers of what they write.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::client::{self, Client, Failed};
use super::ledger::{Ledger, Taken};
use super::readers::Reader;
use super::spaces::Object;
use super::world::{Endpoint, World};
use super::written::{self, BEHIND, ONCE, POISONED};
use crate::history::{Accepted, Answer, Floor, Mode};

/// Longer than `wait=all` takes where it answers at all.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two writes of one writer, at the most.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Between two reads of one reader, at the most.
const READ_PAUSE_MAX: Duration = Duration::from_millis(60);
/// For how long the origin refuses a poisoned key, or takes it, at the most.
const SPELL_MAX: Duration = Duration::from_millis(1_500);

/// Writes objects and reads them.
#[derive(Clone)]
pub(super) struct Writer {
    world: Arc<World>,
    ledger: Arc<Ledger>,
    reader: Reader,
    client: Client,
}

impl Writer {
    /// A writer with connections of its own.
    pub(super) fn new(world: &Arc<World>, books: &Arc<Books>, ledger: &Arc<Ledger>) -> Self {
        Self {
            world: Arc::clone(world),
            ledger: Arc::clone(ledger),
            reader: Reader::new(books),
            client: Client::new(PATIENCE),
        }
    }

    /// Writes through any instance until `stop`; now and then through two at a time.
    pub(super) async fn run(self, mut rng: StdRng, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let object = written::any_or_new(&mut rng);
            if !object.key.starts_with(ONCE) && rng.random_bool(0.2) {
                let mut other = rand::SeedableRng::from_rng(&mut rng);
                tokio::join!(self.write(&object, &mut rng), self.write(&object, &mut other));
            } else if let Some(taken) = self.write(&object, &mut rng).await {
                self.read_own(&taken, &mut rng).await;
            }
            sleep(PAUSE_MAX.mul_f64(rng.random())).await;
        }
    }

    /// Reads what is written from that instance until `stop`.
    pub(super) async fn read(self, endpoint: Endpoint, mut rng: StdRng, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let object = written::any(&mut rng);
            match rng.random_range(0..100) {
                0..20 => drop(self.reader.read(&endpoint, &object, Floor::Strict).await),
                20..40 => {
                    if let Some(taken) = self.ledger.recent(&mut rng) {
                        self.reader.read_written(&endpoint, &taken).await;
                    }
                }
                _ => drop(self.reader.read(&endpoint, &object, Floor::None).await),
            }
            sleep(READ_PAUSE_MAX.mul_f64(rng.random())).await;
        }
    }

    /// The origin refuses the poisoned keys now and then until `stop`, and takes them in the end.
    pub(super) async fn poison(self, mut rng: StdRng, stop: CancellationToken) {
        while !stop.is_cancelled() {
            for key in POISONED {
                written::poison(&self.world.origin, key, rng.random_bool(0.5));
            }
            stop.run_until_cancelled(sleep(SPELL_MAX.mul_f64(rng.random()))).await;
        }
        for key in POISONED {
            written::poison(&self.world.origin, key, false);
        }
    }

    /// `PUT`, or `DELETE` now and then: what is known of it, if it was taken.
    async fn write(&self, object: &Object, rng: &mut StdRng) -> Option<Taken> {
        let (mut mode, mut query) = (written::mode(object.space), Vec::new());
        if object.space == BEHIND && rng.random_bool(0.1) {
            (mode, query) = (Mode::Through, vec!["mode=through"]);
        }
        let wait = rng.random_bool(0.1);
        if wait {
            query.push("wait=all");
        }
        let wanted = if mode == Mode::Behind { durable(rng) } else { None };
        let endpoint = self.somewhere(rng);
        let put = rng.random_bool(0.85);
        let begun = self.ledger.begin(object.clone(), put, mode, &endpoint.id);
        let url = format!("{}/v1/cache/{object}?{}", endpoint.data, query.join("&"));
        let mut headers: Vec<_> = wanted.map(|wanted| ("coherd-durability", wanted)).into_iter().collect();
        let answer = if put {
            let body = json!({ "key": object.to_string(), "version": begun.number }).to_string();
            headers.push(("content-type", "application/json"));
            self.client.send("PUT", &url, &headers, body).await
        } else {
            self.client.send("DELETE", &url, &headers, "").await
        };
        self.ledger.end(begun, learned(&answer, mode))
    }

    /// Whoever has written reads it anywhere.
    async fn read_own(&self, taken: &Taken, rng: &mut StdRng) {
        if rng.random_bool(0.7) {
            self.reader.read_written(&self.somewhere(rng).clone(), taken).await;
        }
    }

    fn somewhere(&self, rng: &mut StdRng) -> &Endpoint {
        self.world.endpoints.choose(rng).expect("a world has instances")
    }
}

/// What shall have a write before it is acknowledged, now and then: the disk, or a replica, for which a server without any
/// is waited for in vain.
fn durable(rng: &mut StdRng) -> Option<&'static str> {
    match rng.random_range(0..100) {
        0..15 => Some("aof"),
        15..20 => Some("replica"),
        _ => None,
    }
}

/// What an instance's answer to a write says.
pub(super) fn learned(answer: &Result<client::Answer, Failed>, mode: Mode) -> Answer {
    let Ok(answer) = answer else { return Answer::Unknown { status: 0, code: String::new() } };
    let header = |name: &str| answer.header(name).map(str::to_owned);
    let code = answer.json()["code"].as_str().unwrap_or("").to_owned();
    // Who waited in vain has written all the same.
    let taken = matches!(answer.status, 200 | 202 | 204) || code == "wait_timeout";
    let Some(log_id) = header("coherd-log-id").filter(|_| taken) else {
        return Answer::Unknown { status: answer.status, code };
    };
    let (id, durability) = (header("coherd-write-id"), header("coherd-durability"));
    let pending = mode == Mode::Behind;
    assert!(!pending || id.is_some() && (durability.is_some() || answer.status == 504), "{answer:?}");
    let everywhere = answer.status != 504 && answer.json()["missing"].is_array();
    Answer::Accepted(Accepted { log_id, id, durability, everywhere })
}
