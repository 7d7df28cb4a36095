//! The instances of the demo: one embedded backend for all, each with its own listeners.

use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::super::args::Access;
use super::super::client::{Answer, Ask, Base, Client};
use super::super::exit::{Fault, told};
use super::super::refusal::succeeded;
use super::database::{Database, SELECT, UPSERT};
use super::seen::Seen;
use crate::app::{self, Instance, StartError};
use crate::backend::Backend;
use crate::backend::memory::{Memory, Store};
use crate::config::{self, Config, Sources};

/// How many there may be: with one there is nothing to keep coherent.
pub(super) const INSTANCES: RangeInclusive<i64> = 2..=16;
/// Where the first port may be, with room for the others and for the admin listeners.
pub(super) const PORTS: RangeInclusive<i64> = 1..=64_000;
/// From a data port to its admin port.
const ADMIN: u16 = 1000;
/// How long an instance may take to be ready.
const READY_MAX: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The namespace of the tour.
pub(super) const NAMESPACE: &str = "users";

/// All of them.
pub(super) struct Fleet {
    pub(super) nodes: Vec<Node>,
}

/// One of them, and how it is talked to: by HTTP, like any other.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) data: Base,
    pub(super) admin: Base,
    instance: Instance,
    to_data: Client,
    to_admin: Client,
}

impl Fleet {
    /// Starts them and waits until all are ready. If one does not start, those before it are stopped.
    pub(super) async fn start(instances: u16, port: u16, database: &Database) -> Result<Self, Fault> {
        let mut fleet = Self { nodes: Vec::new() };
        match fleet.fill(instances, port, database).await {
            Ok(()) => Ok(fleet),
            Err(fault) => {
                fleet.stop().await;
                Err(fault)
            }
        }
    }

    async fn fill(&mut self, instances: u16, port: u16, database: &Database) -> Result<(), Fault> {
        let mut store = None;
        for index in 0..instances {
            let config = configuration(index, port + index, database)?;
            let store = store.get_or_insert_with(|| app::store(&config));
            let node = Node::start(&config, store).await;
            self.nodes.push(node.map_err(|error| refused(&error, instances, port))?);
        }
        for node in &self.nodes {
            node.ready().await?;
        }
        Ok(())
    }

    /// The one that most steps begin at.
    pub(super) fn first(&self) -> &Node {
        &self.nodes[0]
    }

    /// Another than the first.
    pub(super) fn second(&self) -> &Node {
        &self.nodes[1]
    }

    /// Waits until confirmations prove an invalidation. At first only time can: an instance that left just before
    /// these began might still answer from its copies.
    pub(super) async fn settle(&self) -> Result<(), Fault> {
        self.first().invalidate(&json!({ "tags": ["settling"] })).await.map(drop)
    }

    /// A number of `/stats`, of all instances together.
    pub(super) async fn count(&self, what: &str) -> Result<u64, Fault> {
        let mut sum = 0;
        for node in &self.nodes {
            let stats = node.stats().await?;
            let count = stats["namespaces"][NAMESPACE][what].as_u64();
            sum +=
                count.ok_or_else(|| Fault::failed(format!("{}/stats does not count {what}", node.admin)))?;
        }
        Ok(sum)
    }

    /// Ends when one of them cannot go on. Answers which task it is.
    pub(super) async fn given_up(&self) -> &'static str {
        select_all(self.nodes.iter().map(|node| Box::pin(node.instance.given_up()))).await.0
    }

    /// Stops all of them, in order each.
    pub(super) async fn stop(self) {
        join_all(self.nodes.into_iter().map(|node| node.instance.stop())).await;
    }
}

impl Node {
    async fn start(config: &Config, store: &Arc<Store>) -> Result<Self, StartError> {
        let backend: Arc<dyn Backend> = Arc::new(Memory::join(store));
        let instance = Instance::start(config, backend).await?;
        let (data, admin) = (Base::from(instance.data), Base::from(instance.admin));
        let client = |base| Client::new(base, &Access::default()).expect("there is nothing to refuse");
        let (to_data, to_admin) = (client(&data), client(&admin));
        Ok(Self { name: config.instance.id.clone(), data, admin, instance, to_data, to_admin })
    }

    /// Waits until it says so itself. From then on there is a connection, whose making is in no measured time.
    async fn ready(&self) -> Result<(), Fault> {
        if timeout(READY_MAX, self.instance.readiness().ready()).await.is_err() {
            let reasons = self.instance.readiness().snapshot().reasons.join(", ");
            return Err(Fault::failed(format!("{} does not get ready: {reasons}", self.name)));
        }
        succeeded(self.to_data.send(Ask::new(Method::GET, "/readyz")).await?)
            .await?
            .whole(ANSWER_BYTES_MAX)
            .await?;
        Ok(())
    }

    /// Reads a user.
    pub(super) async fn get(&self, id: u32) -> Result<Seen, Fault> {
        let began = Instant::now();
        let mut answer = succeeded(self.to_data.send(Ask::new(Method::GET, path(id))).await?).await?;
        let body = answer.whole(ANSWER_BYTES_MAX).await?;
        let took = began.elapsed();
        let cache = answer.header("cache-status").unwrap_or_default();
        let cache = cache.strip_prefix("coherd; ").unwrap_or(cache).to_owned();
        Ok(Seen { node: self.name.clone(), took, body: String::from_utf8_lossy(&body).into_owned(), cache })
    }

    /// Writes a user: `cache` is the status.
    pub(super) async fn put(&self, id: u32, value: &str) -> Result<Seen, Fault> {
        let mut ask = Ask::new(Method::PUT, path(id));
        ask.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        ask.body = value.to_owned().into();
        let began = Instant::now();
        let mut answer = succeeded(self.to_data.send(ask).await?).await?;
        let body = answer.whole(ANSWER_BYTES_MAX).await?;
        let (took, cache) = (began.elapsed(), answer.status.as_str().to_owned());
        Ok(Seen { node: self.name.clone(), took, body: String::from_utf8_lossy(&body).into_owned(), cache })
    }

    /// Publishes an invalidation and waits until no instance answers with anything older: what was answered, and after
    /// how long.
    pub(super) async fn invalidate(&self, event: &Value) -> Result<(Value, Duration), Fault> {
        let mut ask = Ask::new(Method::POST, "/v1/invalidate?wait=all");
        ask.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        ask.body = event.to_string().into();
        let began = Instant::now();
        let answer = document(self.to_data.send(ask).await?).await?;
        Ok((answer, began.elapsed()))
    }

    /// The curl line that reads a user.
    pub(super) fn curl(&self, id: u32) -> String {
        format!("curl -i {}{}", self.data, path(id))
    }

    async fn stats(&self) -> Result<Value, Fault> {
        document(self.to_admin.send(Ask::new(Method::GET, "/stats")).await?).await
    }
}

/// The path of a user.
pub(super) fn path(id: u32) -> String {
    format!("/v1/cache/{NAMESPACE}/{id}")
}

async fn document(answer: Answer) -> Result<Value, Fault> {
    let mut answer = succeeded(answer).await?;
    let body = answer.whole(ANSWER_BYTES_MAX).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Fault::failed(format!("{} answers no JSON: {}", answer.url(), told(&error))))
}

/// What `coherd serve` would be told. The environment has no say: the demo is the same everywhere.
fn configuration(index: u16, port: u16, database: &Database) -> Result<Config, Fault> {
    let of_users = |key: &str, value: &str| format!("namespaces.{NAMESPACE}.{key}={value}");
    let sets = vec![
        "instance.cluster=demo".to_owned(),
        format!("instance.id=demo-{}", index + 1),
        format!("server.listen=127.0.0.1:{port}"),
        format!("server.admin_listen=127.0.0.1:{}", port + ADMIN),
        "backend.kind=memory".to_owned(),
        of_users("ttl", "5m"),
        of_users("ttl_jitter", "0"),
        of_users("stale_while_revalidate", "5m"),
        of_users("origin.kind", "sql"),
        of_users("origin.url", &database.url()),
        of_users("write", "behind"),
        of_users("origin.select", SELECT),
        of_users("origin.upsert", UPSERT),
        // Slow statements are slower still on a machine that is busy.
        of_users("origin.timeout", "30s"),
        of_users("lease", "30s"),
    ];
    let sources = Sources { sets, ..Sources::default() };
    Ok(config::load(&sources).map_err(Fault::Misconfigured)?.config)
}

fn refused(error: &StartError, instances: u16, port: u16) -> Fault {
    let StartError::Bind { address, source, .. } = error else { return Fault::failed(told(error)) };
    let why = match source.kind() {
        ErrorKind::AddrInUse => "is taken by another program".to_owned(),
        _ => format!("cannot be listened on: {}", told(source)),
    };
    let last = port + instances - 1;
    Fault::failed(format!(
        "port {} {why}; the demo needs {port} to {last} and {} to {}, --port chooses others",
        address.port(),
        port + ADMIN,
        last + ADMIN,
    ))
}
