//! A start beside a full log: an instance that begins with nothing has nothing to catch up with.

use tokio::time::Instant;

use crate::harness::instance::{Cluster, NAMESPACE, Setup};
use crate::harness::proxy::Direction;
use crate::harness::resp::Reply;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};

/// As many as `log_max_events` and `watermarks_max` keep.
const EVENTS: u32 = 200_000;
const WATERMARKS: u32 = 500_000;
/// Written at once: longer scripts make the server refuse other commands.
const STEP: u32 = 20_000;

/// Appends events to the log, chained as the instances chain them, each with its marks.
const FILL: &str = r"
local ctl, log, marks = KEYS[1], KEYS[2], KEYS[3]
local now = redis.call('TIME')[1] .. '000'
local lin, seq, nonce = unpack(redis.call('HMGET', ctl, 'lin', 'seq', 'nonce'))
seq = tonumber(seq)
local events, names, first = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 1, events do
  local previous = nonce
  seq = seq + 1
  nonce = string.format('%016x', seq % 4294967296)
  local id = string.format('%.0f', seq)
  redis.call('XADD', log, id .. '-0', 'lin', lin, 'p', previous, 'n', nonce, 'at', now, 'ns', ARGV[1], 'key', 'k' .. i)
end
local id = string.format('%.0f', seq)
for i = first, first + names - 1 do
  redis.call('HSET', marks, 'k/' .. ARGV[1] .. '/k' .. i, id)
end
redis.call('HSET', ctl, 'seq', id, 'nonce', nonce)
return id
";

async fn fill(server: &Server) {
    let generation = server.command(&["HGET", "coherd:{main}:ctl", "cur"]).await.text();
    let marks = format!("coherd:{{main}}:wm:{generation}");
    let steps = EVENTS / STEP;
    for step in 0..steps {
        let names = WATERMARKS / steps;
        let numbers = [STEP, names, step * names].map(|number| number.to_string());
        let [events, names, first] = &numbers;
        let keys = ["EVAL", FILL, "3", "coherd:{main}:ctl", "coherd:{main}:log", &marks];
        let reply = server.command(&[&keys[..], &[NAMESPACE, events, names, first]].concat()).await;
        assert!(matches!(reply, Reply::Text(_)), "{reply:?}");
    }
    let length = async |command, key| server.command(&[command, key]).await.integer();
    assert!(i64::from(EVENTS) <= length("XLEN", "coherd:{main}:log").await);
    assert!(i64::from(WATERMARKS) <= length("HLEN", &marks).await);
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "how long a start takes is part of the result")]
async fn beside_a_full_log_a_start_replays_nothing() {
    let mut cluster = Cluster::with(Setup::new(1).set("log.level", "info")).await;
    cluster.origin.set("k1", 1);
    assert_eq!(cluster.instance(0).get(NAMESPACE, "k1").send().await.status, 200);
    cluster.nodes[0].instance.kill().await;
    fill(&cluster.server).await;
    cluster.server.command(&["CONFIG", "RESETSTAT"]).await;

    cluster.origin.set("k1", 2);
    let (before, began) = (cluster.wire(0).connections().len(), Instant::now());
    cluster.nodes[0].instance.restart().await;
    let ready = began.elapsed();
    let instance = cluster.instance(0);
    let carried: u64 =
        cluster.wire(0).connections()[before..].iter().map(|it| it.bytes(Direction::Down)).sum();
    let calls = cluster.server.info("cmdstat_xrange").await;
    eprintln!("ready after {ready:.2?}, {carried} bytes from the server, XRANGE: {calls:?}");
    // Once, to see that nothing lies behind the head it began at; all of the log would be 30 MiB.
    let calls = calls.as_deref().map_or(Some("0"), |stat| stat.strip_prefix("calls=")?.split(',').next());
    assert!(matches!(calls, Some("0" | "1")), "{calls:?}");
    assert!(carried < 256 << 10, "{carried} bytes from the server");
    let page = instance.metrics().await;
    let applied = page.lines().filter(|line| line.starts_with("coherd_invalidations_applied_total{"));
    let applied: Vec<&str> = applied.filter(|line| !line.ends_with(" 0")).collect();
    assert!(applied.is_empty(), "{applied:?}");

    // It knows what the marks say all the same, and goes on from the log's end.
    assert_eq!(instance.get(NAMESPACE, "k1").send().await.json()["version"], 2);
    cluster.origin.set("k1", 3);
    assert_eq!(instance.purge(NAMESPACE, "k1").send().await.status, 200);
    eventually("the next event is obeyed", SOON, async || {
        instance.get(NAMESPACE, "k1").send().await.json()["version"] == 3
    })
    .await;
    assert_eq!(instance.metric("coherd_log_lag_events").await, Some(0.0));
}
