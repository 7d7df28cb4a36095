//! What the scenarios share: a race that is set up by gates, what is done to it, and what its answers must be.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::http::{Request, Response};
use crate::harness::instance::{Cluster, Instance, NAMESPACE, Setup};
use crate::harness::origin::{Behaviour, Gate};
use crate::harness::wait::{SOON, eventually};

/// `max_staleness` where a test has to outlast it.
pub(crate) const D: Duration = Duration::from_secs(1);
/// `max_staleness` where a test must be over before it is.
pub(crate) const LONG: Duration = Duration::from_secs(8);

/// In L1 of every instance.
pub(crate) const COPY: &str = "copy";
/// Its first load is held; an event names its key.
pub(crate) const BY_KEY: &str = "by-key";
/// Its first load is held; an event names a tag that only the origin's answer tells.
pub(crate) const BY_TAG: &str = "by-tag";
/// Always stale, and answered while it is refreshed; the refresh is held; an event names its tag.
pub(crate) const REFRESHED: &str = "refreshed";
/// All of them.
pub(crate) const KEYS: [&str; 4] = [COPY, BY_KEY, BY_TAG, REFRESHED];
/// The tag.
const TAG: &str = "tag";

/// Three instances whose loads may be held for as long as a test likes.
pub(crate) fn setup(max_staleness: Duration) -> Setup {
    Setup::new(3)
        .set("coherence.max_staleness", format!("{}ms", max_staleness.as_millis()))
        .set("backend.command_timeout", "1s")
        .namespace("ttl", "10m")
        .namespace("lease", "4s")
        .namespace("origin.timeout", "30s")
        .namespace("origin.retries", 0)
}

/// Sends a request now and takes its answer later.
#[expect(clippy::disallowed_methods, reason = "the supervisor is part of what is tested")]
pub(crate) fn send(request: Request) -> AbortOnDropHandle<Result<Response, String>> {
    AbortOnDropHandle::new(tokio::spawn(request.try_send()))
}

/// The version in an answer.
///
/// # Panics
///
/// If it is no value.
pub(crate) fn version_of(answer: &Response) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["version"].as_u64().unwrap_or_else(|| panic!("no version in {answer:?}"))
}

/// Reads a key's version.
pub(crate) async fn read(at: &Instance, key: &str) -> u64 {
    version_of(&at.get(NAMESPACE, key).send().await)
}

/// Waits until every instance answers the key from its own memory.
pub(crate) async fn warm(cluster: &Cluster, key: &str) {
    for node in &cluster.nodes {
        eventually("the instance answers from its memory", SOON, async || {
            let answer = node.instance.get(NAMESPACE, key).send().await;
            answer.header("cache-status").is_some_and(|status| status.contains("detail=l1"))
        })
        .await;
    }
}

/// Waits until so much time has passed since then.
pub(crate) async fn passed(time: Duration, since: Instant) {
    eventually("time passes", SOON, async || time < since.elapsed()).await;
}

/// Waits until the instance says that it is attached, or that it is not.
pub(crate) async fn attached(at: &Instance, wanted: bool) {
    eventually("the instance is attached, or is not, as expected", SOON, async || {
        at.metric("coherd_attached").await == Some(f64::from(u8::from(wanted)))
    })
    .await;
}

/// Waits until all instances are attached.
pub(crate) async fn all_attached(cluster: &Cluster) {
    join_all(instances(cluster).map(|at| attached(at, true))).await;
}

/// Waits until an event reaches the log through each of these: a lease may outlast the connection it came over.
pub(crate) async fn publishes(through: impl IntoIterator<Item = &Instance>) {
    for at in through {
        eventually("an event reaches the log", SOON, async || {
            at.purge(NAMESPACE, "unrelated").send().await.status == 200
        })
        .await;
    }
}

/// The instances of a cluster.
pub(crate) fn instances(cluster: &Cluster) -> impl Iterator<Item = &Instance> {
    cluster.nodes.iter().map(|node| &node.instance)
}

/// The event of `PURGE`, for `POST /v1/invalidate`.
pub(crate) fn key_event(key: &str) -> Value {
    json!({ "namespace": NAMESPACE, "keys": [key] })
}

/// Reads a key of every instance now: none may be older than the origin was when this was called.
pub(crate) async fn nothing_older(cluster: &Cluster, keys: &[&str]) {
    let reads = cluster.nodes.iter().flat_map(|node| {
        keys.iter().map(async |key| {
            let least = cluster.origin.version(key).expect("the origin has it");
            let answer = node.instance.get(NAMESPACE, key).send().await;
            assert!(
                least <= version_of(&answer),
                "{}: {key} is older than {least}: {answer:?}",
                node.instance.id()
            );
        })
    });
    join_all(reads).await;
}

/// Waits until every instance answers every key from a copy that is what the origin has.
pub(crate) async fn converges(cluster: &Cluster, keys: &[&str]) {
    eventually("every copy agrees with the origin", SOON, async || {
        let looks = cluster.nodes.iter().flat_map(|node| {
            keys.iter().map(async |key| {
                let answer = node.instance.get(NAMESPACE, key).send().await;
                let hit =
                    answer.header("cache-status").is_some_and(|status| status.starts_with("coherd; hit"));
                hit && Some(version_of(&answer)) == cluster.origin.version(key)
            })
        });
        join_all(looks).await.into_iter().all(|agrees| agrees)
    })
    .await;
}

/// Reads a key of one instance again and again until a read has started later than D after `logged`: that one must
/// have `least`.
pub(crate) async fn bounded(at: &Instance, key: &str, least: u64, logged: Instant) {
    eventually("D passes while it is read", SOON, async || {
        let late = D < logged.elapsed();
        let answer = at.get(NAMESPACE, key).send().await;
        assert!(!late || least <= version_of(&answer), "{}: older than D: {answer:?}", at.id());
        late
    })
    .await;
}

/// Loads of one instance, the victim, held at the origin with what they have read.
pub(crate) struct Race {
    /// The cluster. Its first instance publishes.
    pub(super) cluster: Cluster,
    victim: usize,
    gates: Vec<Gate>,
    held: Vec<AbortOnDropHandle<Result<Response, String>>>,
}

impl Race {
    /// Has the victim load [`BY_KEY`] and [`BY_TAG`] and refresh [`REFRESHED`], and holds all three.
    pub(super) async fn set(cluster: Cluster, victim: usize) -> Self {
        let origin = &cluster.origin;
        let tagged = Behaviour::default().header("cache-tag", TAG);
        origin.behave(BY_TAG, tagged.clone());
        origin.behave(REFRESHED, tagged.header("cache-control", "max-age=0, stale-while-revalidate=600"));
        for key in KEYS {
            origin.set(key, 1);
        }
        warm(&cluster, COPY).await;
        let at = cluster.instance(victim);
        eventually("the stale copy is there", SOON, async || {
            let answer = at.get(NAMESPACE, REFRESHED).send().await;
            answer.header("cache-status").is_some_and(|status| status.contains("detail=stale"))
        })
        .await;
        let gates: Vec<Gate> = [BY_KEY, BY_TAG, REFRESHED].iter().map(|key| origin.hold(key)).collect();
        let held = [BY_KEY, BY_TAG].iter().map(|key| send(at.get(NAMESPACE, key))).collect();
        // A refresh from before the gate may still be under way.
        eventually("a refresh is held", SOON, async || {
            assert_eq!(read(at, REFRESHED).await, 1);
            0 < gates[2].count()
        })
        .await;
        for gate in &gates {
            gate.arrived(1).await;
        }
        Self { cluster, victim, gates, held }
    }

    /// The instance whose loads are held.
    pub(super) fn victim(&self) -> &Instance {
        self.cluster.instance(self.victim)
    }

    /// The next version of every key at the origin.
    pub(super) fn commit(&self) {
        for key in KEYS {
            self.cluster.origin.bump(key);
        }
    }

    /// The event that makes all that was read before it old.
    pub(super) fn event() -> Value {
        json!({ "namespace": NAMESPACE, "keys": [COPY, BY_KEY], "tags": [TAG] })
    }

    /// The same for the function `coherd_invalidate`, key and number of keys included.
    pub(super) fn fcall() -> [&'static str; 12] {
        let [key, ctl] = ["key", "coherd:{main}:ctl"];
        ["FCALL", "coherd_invalidate", "1", ctl, "ns", NAMESPACE, key, COPY, key, BY_KEY, "tag", TAG]
    }

    /// Commits and publishes through the first instance: the log's id, when it was acknowledged, and the answer.
    pub(super) async fn publish(&self, query: &str) -> (Instant, Value) {
        self.commit();
        let answer = self.cluster.instance(0).invalidate(query, &Self::event()).send().await;
        let acknowledged = Instant::now();
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        (acknowledged, answer.json())
    }

    /// Lets the held loads go on, and waits until the victim has dealt with what they brought.
    pub(super) async fn release(&mut self) {
        self.let_go();
        for held in self.held.drain(..) {
            // What it answers is not looked at: it began before the event.
            let answer = held.await.expect("the request does not panic");
            let answer = answer.expect("the victim answers");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    /// Lets the held loads go on.
    pub(super) fn let_go(&self) {
        self.gates.iter().for_each(Gate::release);
    }

    /// No instance answers anything older than the origin is now.
    pub(super) async fn nothing_older(&self) {
        nothing_older(&self.cluster, &KEYS).await;
    }

    /// Every copy agrees with the origin, and goes on doing so.
    pub(super) async fn converges(&self) {
        converges(&self.cluster, &KEYS).await;
        self.nothing_older().await;
    }
}
