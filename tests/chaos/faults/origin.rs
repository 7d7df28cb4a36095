//! An origin that is slow, silent, failing or behind. Only one of these at a time.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tokio::time::{Instant, sleep};

use super::Struck;
use super::target::Own;
use crate::chaos::client::Client;
use crate::chaos::spaces::fair_weather;
use crate::chaos::world::World;
use crate::harness::origin::{Behaviour, Fault};

/// The slowest answers: some are given up.
const SLOW: Duration = Duration::from_millis(1_500);
/// The latest writes: long after everybody has given them up.
const LATE: Duration = Duration::from_secs(3);
/// How long one behaviour lasts, in milliseconds.
const SPELL: std::ops::Range<u64> = 20..300;
/// What goes wrong. Nothing that says that there is no such object: that would be an answer.
const FAILURES: [Fault; 6] = [
    Fault::Status(500),
    Fault::Status(503),
    Fault::Status(403),
    Fault::Status(429),
    Fault::Close,
    Fault::Truncate,
];
/// For one request to an instance that another fault may have hit.
const PATIENCE: Duration = Duration::from_secs(2);

/// Every answer takes long, many longer than anybody waits for it.
pub(super) async fn slow(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let _only = world.broken.origin.lock().await;
    let delay = SLOW.mul_f64(rng.random());
    world.origin.behave_always(Behaviour { delay, jitter: SLOW, ..fair_weather() });
    sleep(hold).await;
    world.origin.behave_always(fair_weather());
    Struck { target: format!("origin, {}ms", delay.as_millis()) }
}

/// Nothing is answered.
pub(super) async fn hangs(world: &World, hold: Duration) -> Struck {
    let _only = world.broken.origin.lock().await;
    world.origin.behave_always(Behaviour { fault: Some(Fault::Hang), ..fair_weather() });
    sleep(hold).await;
    world.origin.behave_always(fair_weather());
    Struck::at("origin")
}

/// All goes wrong, for a moment this way, for the next another way, or well.
pub(super) async fn fails(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let _only = world.broken.origin.lock().await;
    let end = Instant::now() + hold;
    loop {
        let fault = if rng.random_bool(0.25) { None } else { FAILURES.choose(rng).copied() };
        // A write that is refused for good is a dead letter: there are keys for that.
        let writes = fault.filter(|fault| *fault == Fault::Status(403)).map(|_| Fault::Status(408));
        world.origin.behave_always(Behaviour { fault, writes, ..fair_weather() });
        sleep(Duration::from_millis(rng.random_range(SPELL))).await;
        if end <= Instant::now() {
            break;
        }
    }
    world.origin.behave_always(fair_weather());
    Struck::at("origin")
}

/// Reads are answered in time. Writes take effect, for a moment this way, for the next another way: before an answer that
/// comes too late or not at all, or when whoever sent them has given up.
pub(super) async fn late(world: &World, rng: &mut StdRng, hold: Duration) -> Struck {
    let _only = world.broken.origin.lock().await;
    let end = Instant::now() + hold;
    loop {
        let by = LATE.mul_f64(rng.random());
        let writes = match rng.random_range(0..4) {
            0 => None,
            1 => Some(Fault::Truncate),
            2 => Some(Fault::AnswerLate(by)),
            _ => Some(Fault::LandLate(by)),
        };
        world.origin.behave_always(Behaviour { writes, ..fair_weather() });
        sleep(Duration::from_millis(rng.random_range(SPELL))).await;
        if end <= Instant::now() {
            break;
        }
    }
    world.origin.behave_always(fair_weather());
    Struck::at("origin")
}

/// An object's replica stands still while the object changes and is invalidated, so that its old value is loaded anew;
/// once the replica has caught up, the change is announced again. No promise covers the object meanwhile: coherd is
/// told of no lag, and so allows for none.
pub(super) async fn lags(world: &World, rng: &mut StdRng, hold: Duration) -> (Struck, Own) {
    let own = Own::begin(world, rng);
    let client = Client::new(PATIENCE);
    let at = &world.endpoints[rng.random_range(0..world.endpoints.len())];
    // Whatever does not succeed here is another fault's work.
    let old = async || {
        let mut old = 0;
        for at in &world.endpoints {
            let answer = own.read(at, &client).await;
            old += usize::from(answer.is_ok_and(|answer| answer.json()["version"] == 1));
        }
        old
    };
    world.origin.fall_behind(&own.object());
    world.origin.bump(&own.object());
    own.invalidate(at, &client, "").await.ok();
    let mut answered = old().await;
    sleep(hold).await;
    answered += old().await;
    world.origin.catch_up(&own.object());
    own.invalidate(at, &client, "").await.ok();
    (Struck { target: format!("origin, {answered} old values") }, own)
}
