//! Whom a fault hits, and keys that no other part of the workload knows.

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::MutexGuard;

use crate::chaos::client::{Answer, Client, Failed};
use crate::chaos::spaces::PLAIN;
use crate::chaos::world::{Endpoint, Node, World};

/// One of the instances, for the fault alone until it lets go.
pub(super) async fn any<'a>(world: &'a World, rng: &mut StdRng) -> MutexGuard<'a, Node> {
    world.nodes[rng.random_range(0..world.nodes.len())].lock().await
}

/// All instances, in the order in which they are to be locked.
pub(super) async fn all(world: &World) -> Vec<MutexGuard<'_, Node>> {
    let mut nodes = Vec::with_capacity(world.nodes.len());
    for node in &world.nodes {
        nodes.push(node.lock().await);
    }
    nodes
}

/// Where the instances other than that one are.
pub(super) fn others<'a>(world: &'a World, id: &str) -> Vec<&'a Endpoint> {
    world.endpoints.iter().filter(|endpoint| endpoint.id != id).collect()
}

/// An object of the fault's own, in [`PLAIN`]: no reader reads it and no history knows it.
pub(super) struct Own {
    /// Its key in the namespace.
    pub(super) key: String,
}

impl Own {
    /// A new one, which the origin knows in version 1.
    pub(super) fn begin(world: &World, rng: &mut StdRng) -> Self {
        let own = Self { key: format!("faults/{:016x}", rng.random::<u64>()) };
        world.origin.set(&own.object(), 1);
        own
    }

    /// What the origin calls it.
    pub(super) fn object(&self) -> String {
        format!("{PLAIN}/{}", self.key)
    }

    /// Reads it through an instance.
    pub(super) async fn read(&self, at: &Endpoint, client: &Client) -> Result<Answer, Failed> {
        client.send("GET", &format!("{}/v1/cache/{PLAIN}/{}", at.data, self.key), &[], "").await
    }

    /// How many of a few of its copies the instance answers with a value: the origin does not know them.
    pub(super) async fn read_copies(&self, at: &Endpoint, client: &Client, count: u32) -> usize {
        let mut valid = 0;
        for number in (0..count).step_by(usize::try_from(count / 10).expect("it is small").max(1)) {
            let url = format!("{}/v1/cache/{PLAIN}/{}/{number}", at.data, self.key);
            let answer = client.send("GET", &url, &[], "").await;
            valid += usize::from(answer.is_ok_and(|answer| answer.status == 200));
        }
        valid
    }

    /// Invalidates it through an instance; `query` such as `?wait=all`, or none.
    pub(super) async fn invalidate(
        &self,
        at: &Endpoint,
        client: &Client,
        query: &str,
    ) -> Result<Answer, Failed> {
        let event = serde_json::json!({ "namespace": PLAIN, "keys": [self.key] }).to_string();
        let url = format!("{}/v1/invalidate{query}", at.data);
        client.send("POST", &url, &[("content-type", "application/json")], event).await
    }
}
