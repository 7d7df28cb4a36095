//! The publisher of a storm: `FCALL`, pipelined over a few connections, at a rate.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::harness::instance::NAMESPACE;
use crate::harness::resp::{Connection, Reply};
use crate::harness::server::Server;

/// Connections that publish side by side.
const CONNECTIONS: u32 = 4;
/// Events sent at once on a connection.
const BATCH: u32 = 100;
/// Different keys that are named; far more than there are copies of.
const KEYS: u64 = 50_000;

/// A storm.
pub(super) struct Wind;

impl Wind {
    /// Publishes `rate` events a second, or as many as the machine makes; how many it were.
    pub(super) async fn blow(server: &Server, rate: u32, length: Duration) -> u64 {
        let gusts = (0..CONNECTIONS).map(async |number| {
            let mut connection = server.connect().await;
            gust(&mut connection, u64::from(number), rate, length).await
        });
        join_all(gusts).await.into_iter().sum()
    }
}

async fn gust(connection: &mut Connection, number: u64, rate: u32, length: Duration) -> u64 {
    let every = Duration::from_secs(1) * BATCH * CONNECTIONS / rate;
    let end = Instant::now() + length;
    let (mut next, mut sent) = (Instant::now(), 0_u64);
    while Instant::now() < end {
        let keys = (sent..sent + u64::from(BATCH)).map(|at| (at * u64::from(CONNECTIONS) + number) % KEYS);
        let batch: Vec<Vec<String>> = keys.map(|key| invalidation(&format!("storm-{key}"))).collect();
        for reply in connection.pipeline(&batch).await.expect("the server answers") {
            assert!(matches!(reply, Reply::Text(_)), "{reply:?}");
            sent += 1;
        }
        // What was not made in time is not made up for: that would be a heavier storm later.
        next = (next + every).max(Instant::now());
        sleep_until(next).await;
    }
    sent
}

/// The command for one key.
pub(super) fn invalidation(key: &str) -> Vec<String> {
    ["FCALL", "coherd_invalidate", "1", "coherd:{main}:ctl", "ns", NAMESPACE, "key", key]
        .map(str::to_owned)
        .into()
}
