//! Three instances whose keys are spread over several shards, on one server or on six.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::http::Response;
use crate::harness::instance::{Config, Instance, NAMESPACE};
use crate::harness::origin::Origin;
use crate::harness::ring::Ring;
use crate::harness::server::{Options, Server};
use crate::harness::wait::{SOON, eventually};

/// Shards on one server. On a Cluster they are as many as they are there where nothing is said.
pub(super) const SHARDS: u16 = 4;
/// Shards of a Cluster for which nothing is said.
pub(super) const SHARDS_ON_RING: u16 = 16;
/// Enough for every shard to have some.
const KEYS: usize = 80;

/// What the instances share.
pub(super) enum Servers {
    One(Box<Server>),
    Ring(Ring),
}

impl Servers {
    pub(super) async fn one() -> Self {
        Self::One(Box::new(Server::start().await))
    }

    pub(super) async fn ring() -> Self {
        Self::Ring(Ring::with(Options::default().set("cluster-require-full-coverage", "no")).await)
    }

    /// `backend.url`, and `backend.shards` if it is to be said.
    pub(super) fn place(&self) -> (String, Option<u16>) {
        match self {
            Self::One(server) => (server.url_at(server.addr()), Some(SHARDS)),
            Self::Ring(ring) => (ring.url(), None),
        }
    }

    pub(super) fn shards(&self) -> u16 {
        self.place().1.unwrap_or(SHARDS_ON_RING)
    }

    /// A command about a key.
    pub(super) async fn command(&self, key: &str, words: &[&str]) {
        let reply = match self {
            Self::One(server) => server.command(words).await,
            Self::Ring(ring) => ring.command(key, words).await,
        };
        assert!(!matches!(reply, crate::harness::resp::Reply::Error(_)), "{reply:?}");
    }
}

/// The instances.
pub(super) struct Fleet {
    pub(super) instances: Vec<Instance>,
    pub(super) origin: Origin,
    pub(super) servers: Servers,
}

impl Fleet {
    /// With the defaults and these settings of [`NAMESPACE`].
    pub(super) async fn over(servers: Servers, settings: &[(&str, &str)]) -> Self {
        let origin = Origin::start().await;
        let (url, shards) = servers.place();
        let instances = (0..3).map(|number| {
            let config = Config::new(&format!("inst-{number}"), &url).namespace(NAMESPACE, &origin.url());
            let config =
                shards.into_iter().fold(config, |it, count| it.set("backend.shards", i64::from(count)));
            let config = settings
                .iter()
                .fold(config, |it, (key, value)| it.set(&format!("namespaces.{NAMESPACE}.{key}"), *value));
            Instance::start(config)
        });
        let instances = join_all(instances).await;
        Self { instances, origin, servers }
    }

    /// Keys of all shards: `eu/N` and `us/N`.
    pub(super) fn keys() -> Vec<String> {
        (0..KEYS).map(|n| format!("{}/{n}", if n % 2 == 0 { "eu" } else { "us" })).collect()
    }

    /// What each instance answers for a key: the versions.
    pub(super) async fn versions(&self, key: &str) -> Vec<u64> {
        join_all(self.instances.iter().map(async |at| version(&at.get(NAMESPACE, key).send().await))).await
    }

    /// Every key is at the origin in that version.
    pub(super) fn set(&self, version: u64) {
        for key in Self::keys() {
            self.origin.set(&key, version);
        }
    }

    /// Every instance answers every key in its version, and then from its own copy.
    pub(super) async fn warm(&self, version: u64) {
        for key in Self::keys() {
            assert_eq!(self.versions(&key).await, [version; 3], "{key}");
        }
        for (at, key) in self.instances.iter().zip(Self::keys()) {
            let answer = at.get(NAMESPACE, &key).send().await;
            assert!(
                answer.header("cache-status").is_some_and(|status| status.contains("detail=l1")),
                "{answer:?}"
            );
        }
    }

    /// Publishes an event, waits for all, and gives the answer.
    pub(super) async fn publish(&self, by: usize, event: &Value) -> Value {
        let answer = self.instances[by].invalidate("?wait=all", event).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        assert_eq!(answer["applied"], json!(["inst-0", "inst-1", "inst-2"]), "{answer}");
        assert_eq!(answer["missing"], json!([]));
        answer
    }

    /// Waits until all are attached, and every server is there. That replicas are not waited for may be said.
    pub(super) async fn sound(&self) {
        for at in &self.instances {
            eventually(&format!("{} is sound", at.id()), SOON, async || {
                let (status, document) = at.readyz().await;
                let of_server =
                    |it: &Value| it.as_str().is_some_and(|it| it.contains("min-replicas-to-write"));
                status == 200 && document["degraded"].as_array().is_some_and(|it| it.iter().all(of_server))
            })
            .await;
        }
    }
}

/// The version in a value.
///
/// # Panics
///
/// If there is none.
pub(super) fn version(answer: &Response) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["version"].as_u64().unwrap_or_else(|| panic!("{answer:?}"))
}

/// How many shards an id names.
pub(super) fn parts(id: &Value) -> usize {
    id.as_str().expect("an id is a text").split(',').count()
}
