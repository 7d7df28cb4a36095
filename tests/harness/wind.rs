//! Very many events: `FCALL`, pipelined over a few connections, at a rate.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::resp::{Connection, Reply};

/// Connections that publish side by side.
const CONNECTIONS: u32 = 4;
/// Events sent at once on a connection.
const BATCH: u32 = 100;
/// Different keys that are named; far more than there are copies of.
const KEYS: u64 = 50_000;
/// Before another try at a server that is not there.
const PAUSE: Duration = Duration::from_millis(50);

/// What a storm was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blown {
    /// Events that were logged.
    pub(crate) logged: u64,
    /// Events that were refused.
    pub(crate) refused: u64,
}

/// Publishes `rate` events a second about keys of a namespace, or as many as the machine makes. Where there is no
/// server, or it does not answer, it tries again.
pub(crate) async fn blow(
    connect: impl AsyncFn() -> Option<Connection>,
    namespace: &str,
    rate: u32,
    length: Duration,
) -> Blown {
    let end = Instant::now() + length;
    let gusts = (0..CONNECTIONS).map(async |number| {
        let mut blown = Blown::default();
        while Instant::now() < end {
            if let Ok(Some(connection)) = timeout_at(end, connect()).await {
                // Cut off at its end where the server stands still.
                timeout_at(end, gust(connection, namespace, number, rate, &mut blown)).await.ok();
            }
            sleep(PAUSE.min(end - Instant::now())).await;
        }
        blown
    });
    join_all(gusts).await.into_iter().fold(Blown::default(), |sum, gust| Blown {
        logged: sum.logged + gust.logged,
        refused: sum.refused + gust.refused,
    })
}

/// Publishes until the connection ends.
async fn gust(mut connection: Connection, namespace: &str, number: u32, rate: u32, blown: &mut Blown) {
    let every = Duration::from_secs(1) * BATCH * CONNECTIONS / rate;
    let mut next = Instant::now();
    loop {
        let first = blown.logged + blown.refused;
        let keys = (first..first + u64::from(BATCH))
            .map(|at| (at * u64::from(CONNECTIONS) + u64::from(number)) % KEYS);
        let batch: Vec<Vec<String>> =
            keys.map(|key| invalidation(namespace, &format!("storm-{key}"))).collect();
        let Ok(replies) = connection.pipeline(&batch).await else { return };
        for reply in replies {
            match reply {
                Reply::Text(_) => blown.logged += 1,
                _ => blown.refused += 1,
            }
        }
        // What was not made in time is not made up for: that would be a heavier storm later.
        next = (next + every).max(Instant::now());
        sleep_until(next).await;
    }
}

/// The command for one key.
pub(crate) fn invalidation(namespace: &str, key: &str) -> Vec<String> {
    ["FCALL", "coherd_invalidate", "1", "coherd:{main}:ctl", "ns", namespace, "key", key]
        .map(str::to_owned)
        .into()
}
