//! The ways in: how an event is sent, and what its publisher learns.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::books::{Books, Event};
use super::client::{Answer, Client, Failed};
use super::spaces::{Object, Target};
use super::world::{Endpoint, World};
use crate::harness::instance::coherd;
use crate::harness::resp::Reply;
use crate::history::{Acknowledged, Way};

const CTL: &str = "coherd:{main}:ctl";
const INBOX: &str = "coherd:{main}:inbox";
/// Longer than `wait=all` takes where it answers at all.
const PATIENCE: Duration = Duration::from_secs(4);
/// A server that is stopped answers nobody.
const SERVER_PATIENCE: Duration = Duration::from_secs(2);
/// How often an event without an answer is sent again, with the same request id.
const AGAIN_MAX: usize = 2;

/// Publishes events by every way in.
#[derive(Clone)]
pub(super) struct Publisher {
    world: Arc<World>,
    books: Arc<Books>,
    client: Client,
}

impl Publisher {
    /// A publisher with connections of its own.
    pub(super) fn new(world: &Arc<World>, books: &Arc<Books>) -> Self {
        Self { world: Arc::clone(world), books: Arc::clone(books), client: Client::new(PATIENCE) }
    }

    /// Says by some way that the object has changed.
    pub(super) async fn announce(&self, object: &Object, rng: &mut StdRng) -> Acknowledged {
        let soft = rng.random_bool(0.15);
        match rng.random_range(0..100) {
            0..28 => self.http(Target::of(object, rng), soft, false, rng).await,
            28..50 => self.http(Target::of(object, rng), soft, true, rng).await,
            50..65 => self.purge(object, soft, rng).await,
            // An event may concern every shard, and the function reaches one.
            65..77 if self.world.shards == 1 => self.fcall(Target::of(object, rng), soft).await,
            65..88 => self.inbox(Target::of(object, rng), soft, rng).await,
            88..98 => self.pubsub(Target::of(object, rng), soft).await,
            _ => self.command(Target::of(object, rng), soft, rng).await,
        }
    }

    /// `POST /v1/invalidate`, again at another instance where there is no answer.
    pub(super) async fn http(
        &self,
        target: Target,
        soft: bool,
        wait: bool,
        rng: &mut StdRng,
    ) -> Acknowledged {
        let event = self.books.event(target, soft);
        let again = rng.random_range(0..=AGAIN_MAX);
        let mut acknowledged = Acknowledged::Unknown;
        for _ in 0..=again {
            let path = if wait { "/v1/invalidate?wait=all" } else { "/v1/invalidate" };
            let url = format!("{}{path}", self.somewhere(rng).data);
            let mut body = told(&event);
            body["request_id"] = json!(format!("{:x}-{}", self.world.seed, event.number));
            let headers = [("content-type", "application/json")];
            let answer = self.client.send("POST", &url, &headers, body.to_string()).await;
            acknowledged = learned(&answer);
            if acknowledged != Acknowledged::Unknown {
                break;
            }
        }
        self.books.close(&event, Way::Http, acknowledged.clone());
        acknowledged
    }

    /// `PURGE` of the object.
    pub(super) async fn purge(&self, object: &Object, soft: bool, rng: &mut StdRng) -> Acknowledged {
        let event = self.books.event(Target::key(object), soft);
        let query = if soft { "?soft=true" } else { "" };
        let url = format!("{}/v1/cache/{object}{query}", self.somewhere(rng).data);
        let answer = self.client.send("PURGE", &url, &[], "").await;
        self.ended(&event, Way::Purge, learned(&answer))
    }

    /// `FCALL coherd_invalidate`.
    pub(super) async fn fcall(&self, target: Target, soft: bool) -> Acknowledged {
        let event = self.books.event(target, soft);
        let mut words: Vec<String> = ["FCALL", "coherd_invalidate", "1", CTL].map(str::to_owned).into();
        words.extend(fields(&event));
        let acknowledged = match self.say(&words).await {
            Some(Reply::Text(id)) => Acknowledged::Logged { id: String::from_utf8_lossy(&id).into_owned() },
            _ => Acknowledged::Unknown,
        };
        self.ended(&event, Way::Fcall, acknowledged)
    }

    /// `XADD` to the inbox.
    async fn inbox(&self, target: Target, soft: bool, rng: &mut StdRng) -> Acknowledged {
        let event = self.books.event(target, soft);
        let mut words: Vec<String> = ["XADD", INBOX, "*"].map(str::to_owned).into();
        if rng.random_bool(0.5) {
            words.extend(fields(&event));
        } else {
            words.extend(["event".to_owned(), told(&event).to_string()]);
        }
        let acknowledged = match self.say(&words).await {
            Some(Reply::Text(_)) => Acknowledged::Durable,
            _ => Acknowledged::Unknown,
        };
        self.ended(&event, Way::Inbox, acknowledged)
    }

    /// `PUBLISH` on the inbox channel.
    async fn pubsub(&self, target: Target, soft: bool) -> Acknowledged {
        let event = self.books.event(target, soft);
        let words = ["PUBLISH".to_owned(), INBOX.to_owned(), told(&event).to_string()];
        self.say(&words).await;
        self.ended(&event, Way::Pubsub, Acknowledged::Unknown)
    }

    /// `coherd invalidate`, through an instance or straight to the server.
    async fn command(&self, target: Target, soft: bool, rng: &mut StdRng) -> Acknowledged {
        let event = self.books.event(target, soft);
        let mut command = coherd();
        command.arg("invalidate").args(event.target.arguments()).args(["--reason", &event.reason()]);
        if soft {
            command.arg("--soft");
        }
        if rng.random_bool(0.5) {
            command.args(["--url", &self.somewhere(rng).data]);
        } else {
            let url = match self.world.shards {
                1 => format!("valkey://{}", *self.world.primary.borrow()),
                _ => self.world.url.clone(),
            };
            command.args(["--backend", &url, "--shards", &self.world.shards.to_string()]);
        }
        command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await;
        let acknowledged = match output {
            Ok(Ok(output)) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.lines()
                    .next()
                    .map_or(Acknowledged::Unknown, |id| Acknowledged::Logged { id: id.to_owned() })
            }
            _ => Acknowledged::Unknown,
        };
        self.ended(&event, Way::Command, acknowledged)
    }

    /// `DELETE` in the cache-aside namespace.
    pub(super) async fn delete(&self, object: &Object, rng: &mut StdRng) -> Acknowledged {
        let event = self.books.event(Target::key(object), false);
        let url = format!("{}/v1/cache/{object}", self.somewhere(rng).data);
        let answer = self.client.send("DELETE", &url, &[], "").await;
        self.ended(&event, Way::Put, learned(&answer))
    }

    fn ended(&self, event: &Event, way: Way, acknowledged: Acknowledged) -> Acknowledged {
        self.books.close(event, way, acknowledged.clone());
        acknowledged
    }

    fn somewhere(&self, rng: &mut StdRng) -> &Endpoint {
        self.world.endpoints.choose(rng).expect("a world has instances")
    }

    /// Says something to the server itself; `None` without an answer.
    async fn say(&self, words: &[String]) -> Option<Reply> {
        let said = async { self.world.direct().await?.command(words).await.ok() };
        timeout(SERVER_PATIENCE, said).await.ok()?
    }
}

/// The JSON form.
fn told(event: &Event) -> Value {
    let mut body = event.target.json();
    body["soft"] = json!(event.soft);
    body["reason"] = json!(event.reason());
    body
}

/// The list of fields.
fn fields(event: &Event) -> Vec<String> {
    let mut fields = event.target.fields();
    fields.extend(["why".to_owned(), event.reason()]);
    if event.soft {
        fields.extend(["soft", "1"].map(str::to_owned));
    }
    fields
}

/// What an instance's answer to an event says.
pub(super) fn learned(answer: &Result<Answer, Failed>) -> Acknowledged {
    let Ok(answer) = answer else { return Acknowledged::Unknown };
    let Some(id) = answer.header("coherd-log-id").map(str::to_owned) else { return Acknowledged::Unknown };
    match (answer.status, answer.json()["mode"].as_str()) {
        (200, Some(mode)) => Acknowledged::Everywhere { id, early: mode == "early" },
        // A 504 has waited in vain: the event is logged all the same.
        _ => Acknowledged::Logged { id },
    }
}
