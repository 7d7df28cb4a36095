//! Too much of what is allowed: the largest values, a tag on very many entries, a storm of events.

use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::time::sleep;

use super::Struck;
use super::target::{Own, any};
use crate::chaos::client::{Answer, Client};
use crate::chaos::spaces::PLAIN;
use crate::chaos::world::World;
use crate::harness::resp::Reply;
use crate::harness::server::Server;
use crate::harness::wait::{SOON, eventually};
use crate::harness::wind::{Blown, blow};

/// `max_value` of [`PLAIN`], its default.
pub(super) const VALUE_MAX: usize = 1 << 20;
/// For one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events a second.
const RATE: u32 = 10_000;
/// Entries with one tag, and as many of them in a fault that is held for long.
const MANY: u32 = 100_000;
const VERY_MANY: u32 = 1_000_000;
const LONG: Duration = Duration::from_secs(10);
/// Entries written by one script: longer ones make the server refuse other commands.
const STEP: u32 = 5_000;

/// Copies an entry under other keys, or drops those copies.
const COPY: &str = r"
local entry, first, count, kept = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local fields = redis.call('HGETALL', entry)
for i = first, first + count - 1 do
  local copy = entry .. '/' .. i
  if kept == '0' then
    redis.call('UNLINK', copy)
  elseif #fields == 0 then
    return 0
  else
    redis.call('HSET', copy, unpack(fields))
    redis.call('PEXPIRE', copy, kept)
  end
end
return count
";

/// Reads values of the largest size and of one byte more through every instance: those of the first may be kept, those
/// of the second are passed on. What is answered is never a part of them.
pub(super) async fn limit_values(world: &World, rng: &mut StdRng, hold: Duration) -> (Struck, Vec<Answer>) {
    let (client, mut answers) = (Client::new(PATIENCE), Vec::new());
    let mut own = Vec::new();
    for size in [VALUE_MAX, VALUE_MAX + 1] {
        let one = Own::begin(world, rng);
        let url = world.origin.url().replace("{key}", &one.object());
        let put = client.send("PUT", &url, &[], vec![b'x'; size]).await;
        // An origin that another fault has hit may not take it.
        if put.is_ok_and(|answer| answer.status == 204) {
            own.push(one);
        }
    }
    for round in 0..2 {
        let reads = world.endpoints.iter().flat_map(|at| own.iter().map(|own| own.read(at, &client)));
        answers.extend(join_all(reads).await.into_iter().flatten().filter(|answer| answer.status == 200));
        if round == 0 {
            sleep(hold).await;
        }
    }
    for answer in &answers {
        let size = answer.body.len();
        assert!((VALUE_MAX..=VALUE_MAX + 1).contains(&size), "a value was cut off at {size} bytes");
    }
    (Struck { target: format!("all, {} values", answers.len()) }, answers)
}

/// Fills the server with copies of one tagged entry, and invalidates the tag. The key they are copies of: its copies
/// are called like it with `/0` and up behind.
pub(super) async fn many_tagged(world: &World, rng: &mut StdRng, hold: Duration) -> (Struck, Own) {
    let own = Own::begin(world, rng);
    let tag = own.key.replace('/', "-");
    world.origin.describe(&own.object(), &[("cache-tag", &tag)]);
    let server = world.server.lock().await;
    let node = any(world, rng).await;
    let at = world.endpoints.iter().find(|at| at.id == node.instance.id()).expect("it has an endpoint");
    let client = Client::new(PATIENCE);
    let entry = format!("coherd:{{main}}:e:{PLAIN}:v1:{}", own.key);
    eventually("the entry is stored", SOON, async || {
        own.invalidate(at, &client, "").await.ok();
        own.read(at, &client).await.ok();
        server.command(&["EXISTS", &entry]).await == Reply::Integer(1)
    })
    .await;
    let count = if hold < LONG { MANY } else { VERY_MANY };
    copy(&server, &entry, count, "600000").await;
    let some = own.read_copies(at, &client, count).await;
    let event = json!({ "tags": [tag] }).to_string();
    let url = format!("{}/v1/invalidate", at.data);
    eventually("the tag is invalidated", SOON, async || {
        let answer = client.send("POST", &url, &[("content-type", "application/json")], event.clone()).await;
        answer.is_ok_and(|answer| answer.status == 202)
    })
    .await;
    let none = own.read_copies(at, &client, count).await;
    copy(&server, &entry, count, "0").await;
    (Struck { target: format!("{}, {count} entries, {some} then {none} valid", at.id) }, own)
}

async fn copy(server: &Server, entry: &str, count: u32, kept: &str) {
    for first in (0..count).step_by(usize::try_from(STEP).expect("it is small")) {
        let numbers = [first.to_string(), STEP.min(count - first).to_string()];
        let answer = server.command(&["EVAL", COPY, "1", entry, &numbers[0], &numbers[1], kept]).await;
        assert!(matches!(answer, Reply::Integer(_)), "{answer:?}");
    }
}

/// Thousands of events a second about keys that few or none have.
pub(super) async fn storm(world: &World, hold: Duration) -> (Struck, Blown) {
    let blown = blow(async || world.direct().await, PLAIN, RATE, hold).await;
    (Struck { target: format!("all, {} events", blown.logged) }, blown)
}
