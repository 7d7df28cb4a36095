//! Readers in the storm: a few keys change, and nothing that is read is older than was promised.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::MAX_STALENESS;
use crate::harness::instance::{Cluster, Instance, NAMESPACE};
use crate::harness::wait::{SOON, eventually};
use crate::harness::wind::invalidation;

/// Between two changes, and between two reads of one reader: both are there to check the storm, not to be one.
const PAUSE: Duration = Duration::from_millis(5);
const KEYS: [&str; 8] = ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"];

/// An acknowledged change.
#[derive(Clone, Debug)]
struct Change {
    key: &'static str,
    version: u64,
    id: String,
    acknowledged: Instant,
}

/// What the readers saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    /// Reads that were held against what was acknowledged.
    pub(super) checked: u64,
    /// Those among them that were older than the last change, within the bound.
    pub(super) stale: u64,
}

/// Keys that change in the storm.
#[derive(Default)]
pub(super) struct Watched {
    changes: Mutex<Vec<Change>>,
}

impl Watched {
    /// Changes keys and reads them on every instance, until `over`.
    ///
    /// # Panics
    ///
    /// At the first read that is older than promised.
    pub(super) async fn follow(&self, cluster: &Cluster, over: impl Future<Output = ()>) -> Reads {
        for key in KEYS {
            cluster.origin.set(key, 1);
        }
        let stop = CancellationToken::new();
        let readers = join_all(cluster.nodes.iter().map(|node| self.read(&node.instance, &stop)));
        let writer = self.write(cluster, &stop);
        let end = async {
            pin!(over).await;
            stop.cancel();
        };
        let ((reads, ()), ()) = join(join(readers, writer), end).await;
        reads.into_iter().fold(Reads::default(), |sum, one| Reads {
            checked: sum.checked + one.checked,
            stale: sum.stale + one.stale,
        })
    }

    /// Every instance answers with the last version of every key.
    pub(super) async fn converged(&self, cluster: &Cluster) {
        for node in &cluster.nodes {
            for key in KEYS {
                let last = cluster.origin.version(key).expect("the origin has it");
                eventually(&format!("{} has the last `{key}`", node.instance.id()), SOON, async || {
                    node.instance.get(NAMESPACE, key).send().await.json()["version"] == last
                })
                .await;
            }
        }
    }

    async fn write(&self, cluster: &Cluster, stop: &CancellationToken) {
        let mut connection = cluster.server.connect().await;
        for key in KEYS.into_iter().cycle() {
            if stop.is_cancelled() {
                return;
            }
            let version = cluster.origin.bump(key);
            let reply = timeout(SOON, connection.command(&invalidation(NAMESPACE, key))).await;
            let id = reply.expect("the server answers in time").expect("the server answers").text();
            let change = Change { key, version, id, acknowledged: Instant::now() };
            self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
            sleep(PAUSE).await;
        }
    }

    async fn read(&self, instance: &Instance, stop: &CancellationToken) -> Reads {
        let mut reads = Reads::default();
        for (number, key) in KEYS.into_iter().cycle().enumerate() {
            if stop.is_cancelled() {
                break;
            }
            sleep(PAUSE).await;
            let Some(last) = self.last(key, None) else { continue };
            let began = Instant::now();
            // P1 for most, P3 for some: whoever brings the id along reads nothing older than its change.
            let own = number % 5 == 0;
            let request = instance.get(NAMESPACE, key);
            let request = if own { request.header("coherd-min-log-id", &last.id) } else { request };
            let answer = request.send().await;
            assert_eq!(answer.status, 200, "{}: {answer:?}", instance.id());
            let version = answer.json()["version"].as_u64().expect("a version");
            let least = if own {
                Some(last.clone())
            } else {
                began.checked_sub(MAX_STALENESS).and_then(|at| self.last(key, Some(at)))
            };
            if let Some(least) = least {
                assert!(
                    least.version <= version,
                    "{} answered with version {version} of `{key}`, {:?} after {least:?}: {answer:?}",
                    instance.id(),
                    began - least.acknowledged,
                );
                reads.checked += 1;
            }
            reads.stale += u64::from(version < last.version);
        }
        reads
    }

    /// The key's last change that was acknowledged before that moment.
    fn last(&self, key: &str, before: Option<Instant>) -> Option<Change> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = |it: &&Change| it.key == key && before.is_none_or(|at| it.acknowledged < at);
        changes.iter().rev().find(asked).cloned()
    }
}
