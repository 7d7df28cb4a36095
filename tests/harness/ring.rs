//! A real cluster of six servers: three primaries with a third of the slots each, and a replica of each.

use std::time::Duration;

use futures_util::future::join_all;

use super::resp::Reply;
use super::server::{Options, Server};
use super::wait::{SOON, eventually};

const PRIMARIES: usize = 3;
const SLOTS: [(&str, &str); PRIMARIES] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
/// How long a server is silent before the others take it for dead.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_millis(1500);
/// Keys that are moved at once.
const MOVED_MAX: &str = "100";

/// The servers. Those that begin as primaries come first, then their replicas in the same order.
pub(crate) struct Ring {
    servers: Vec<Server>,
    killed: Vec<usize>,
}

impl Ring {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts one whose servers have these options, and waits until all agree on who is what.
    pub(crate) async fn with(options: Options) -> Self {
        let options = options
            .set("cluster-enabled", "yes")
            .set("cluster-node-timeout", &NODE_TIMEOUT.as_millis().to_string())
            // A replica whose primary was killed a while ago is better than none.
            .set("cluster-replica-validity-factor", "0");
        let servers = join_all((0..2 * PRIMARIES).map(|_| Server::with(options.clone()))).await;
        let ring = Self { servers, killed: Vec::new() };
        let ok = async |server: &Server, words: &[&str]| {
            assert_eq!(server.command(words).await.text(), "OK", "{words:?}");
        };
        for (number, server) in ring.servers.iter().enumerate() {
            ok(server, &["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
        }
        for (server, (first, last)) in ring.servers.iter().zip(SLOTS) {
            ok(server, &["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        }
        for met in &ring.servers[1..] {
            let (ip, port) = (met.addr().ip().to_string(), met.addr().port().to_string());
            ok(&ring.servers[0], &["CLUSTER", "MEET", &ip, &port]).await;
        }
        ring.agrees("all servers know each other", |nodes| {
            nodes.len() == 2 * PRIMARIES && nodes.iter().all(|node| node.contains(" connected"))
        })
        .await;
        let (primaries, replicas) = ring.servers.split_at(PRIMARIES);
        for (primary, replica) in primaries.iter().zip(replicas) {
            let id = primary.command(&["CLUSTER", "MYID"]).await.text();
            ok(replica, &["CLUSTER", "REPLICATE", &id]).await;
        }
        ring.agrees("all servers know the replicas", |nodes| {
            nodes.iter().filter(|node| node.contains("slave ")).count() == PRIMARIES
        })
        .await;
        for server in replicas {
            server.follows().await;
        }
        ring.is_whole().await;
        ring
    }

    /// Where instances find it.
    pub(crate) fn url(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(|server| server.addr().to_string()).collect();
        format!("valkey-cluster://{}", servers.join(","))
    }

    /// Sends a command to the primary that has the key's slot.
    pub(crate) async fn command(&self, key: &str, words: &[&str]) -> Reply {
        self.servers[self.owner(key).await].command(words).await
    }

    /// The primary that has the key's slot.
    pub(crate) async fn primary(&self, key: &str) -> &Server {
        &self.servers[self.owner(key).await]
    }

    /// The replica of the primary that has the key's slot, where no other has taken its place yet.
    pub(crate) async fn replica(&self, key: &str) -> &Server {
        &self.servers[PRIMARIES + self.owner(key).await]
    }

    /// FLUSHALL, everywhere.
    pub(crate) async fn flush_all(&self) {
        for (_, server) in self.alive() {
            if server.info("role").await.as_deref() == Some("master") {
                server.command(&["FLUSHALL"]).await;
            }
        }
    }

    /// Moves the slot of a key, with all that is in it, to another primary, as `redis-cli --cluster reshard` does.
    pub(crate) async fn move_slot(&self, key: &str) {
        let from = self.owner(key).await;
        let mut primaries = Vec::new();
        for (number, server) in self.alive() {
            if server.info("role").await.as_deref() == Some("master") {
                primaries.push(number);
            }
        }
        let to = *primaries.iter().find(|number| **number != from).expect("there are several primaries");
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let slot = source.command(&["CLUSTER", "KEYSLOT", key]).await.text();
        let ids = [source, target].map(|server| async { server.command(&["CLUSTER", "MYID"]).await.text() });
        let [source_id, target_id] = <[String; 2]>::try_from(join_all(ids).await).expect("two were asked");
        let ok = async |server: &Server, words: &[&str]| {
            assert_eq!(server.command(words).await.text(), "OK", "{words:?}");
        };
        ok(target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]).await;
        ok(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]).await;
        let (ip, port) = (target.addr().ip().to_string(), target.addr().port().to_string());
        loop {
            let keys = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, MOVED_MAX]).await;
            let keys: Vec<String> = keys.items().iter().map(Reply::text).collect();
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", &ip, &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            // Meanwhile they may all have expired.
            let moved = source.command(&words).await.text();
            assert!(moved == "OK" || moved == "NOKEY", "{moved}");
        }
        ok(target, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
        ok(source, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
        for number in primaries.into_iter().filter(|number| ![from, to].contains(number)) {
            ok(&self.servers[number], &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
        }
    }

    /// SIGKILL of the primary that has the key's slot: its replica takes its place in a while.
    pub(crate) async fn kill_primary(&mut self, key: &str) {
        let number = self.owner(key).await;
        self.servers[number].kill().await;
        self.killed.push(number);
    }

    /// Starts again what was killed: it follows whoever has taken its place.
    pub(crate) async fn restart_killed(&mut self) {
        for number in std::mem::take(&mut self.killed) {
            self.servers[number].restart().await;
        }
    }

    /// Waits until every server that lives says that all slots are served.
    pub(crate) async fn is_whole(&self) {
        for (_, server) in self.alive() {
            eventually("the cluster is whole", SOON, async || {
                server.command(&["CLUSTER", "INFO"]).await.text().contains("cluster_state:ok")
            })
            .await;
        }
    }

    fn alive(&self) -> impl Iterator<Item = (usize, &Server)> {
        self.servers.iter().enumerate().filter(|(number, _)| !self.killed.contains(number))
    }

    /// Who has the key's slot: the others say that it is elsewhere.
    async fn owner(&self, key: &str) -> usize {
        eventually("somebody has the slot", SOON, async || {
            for (number, server) in self.alive() {
                if matches!(server.command(&["EXISTS", key]).await, Reply::Integer(_)) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    /// Waits until what every server says of the others is as it should be.
    async fn agrees(&self, what: &str, holds: impl Fn(&[&str]) -> bool) {
        for (_, server) in self.alive() {
            eventually(what, SOON, async || {
                let nodes = server.command(&["CLUSTER", "NODES"]).await.text();
                holds(&nodes.lines().collect::<Vec<_>>())
            })
            .await;
        }
    }
}
