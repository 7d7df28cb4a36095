//! A look-up within a process: moka and the judgement of what it gave, beside moka alone.
//!
//! `inside SECONDS ROUNDS`: measured in a process of its own, on the servers' cores; it prints nanoseconds as JSON.

use std::env;
use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use coherd::backend::Token;
use coherd::clock::Clock;
use coherd::coherence::core::{Slots, Stamp, View};
use coherd::model::{Key, LineageId, Namespace, covering};
use moka::sync::Cache;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use super::Stage;
use crate::driver::now;
use crate::fault::Fault;
use crate::measure::float;
use crate::report::{Figure, Limit, Row, Table};

const FIGURES: [Figure; 2] = [
    Figure { name: "ns_of_1000_keys", heading: "1 k keys", decimals: 0, compared: true },
    Figure { name: "ns_of_1000000_keys", heading: "1 M keys", decimals: 0, compared: true },
];
const KEYS: [usize; 2] = [1_000, 1_000_000];

/// Slots of the watermark table, as many as an instance has.
const SLOTS: usize = 1 << 20;
/// Longer than any run: the judgement is that of an instance that is attached.
const MAX_STALENESS: Duration = Duration::from_secs(3600);
/// Share of a window that each look-up of each size is measured for, each round.
const WINDOWS: f64 = 0.25;
/// Keys looked up between two looks at the clock.
const BATCH: usize = 1_000;

/// An entry as L1 holds it, as far as the judgement needs it.
struct Held {
    stamp: Stamp,
    slots: Slots,
}

/// Nanoseconds per look-up, by size, by round.
#[derive(Default, Deserialize, Serialize)]
struct Found {
    judged: Vec<Vec<f64>>,
    bare: Vec<Vec<f64>>,
}

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("inside").arg(stage.plan.windows(WINDOWS).as_secs_f64().to_string());
    command.arg(stage.plan.rounds.to_string());
    let output = stage.cores.among_servers(|| command.output())?;
    if !output.status.success() {
        return Err(format!("inside: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let Found { judged, bare } = serde_json::from_slice(&output.stdout)?;
    let rows = vec![Row { name: "moka get + judge", values: judged }, Row { name: "moka get", values: bare }];
    let note = "nanoseconds per look-up, one thread, keys in random order; judged: clock, lease, lineage, floor, watermarks";
    Ok(Table::new("L1 look-up inside the process", note.to_owned(), &FIGURES, rows)
        .bar("L1 look-up with validity, 1,000 keys", FIGURES[0].name, Limit::Times(1.3, "moka get"))
        .bar("L1 look-up with validity, 1,000,000 keys", FIGURES[1].name, Limit::Times(1.3, "moka get")))
}

/// `inside SECONDS ROUNDS`.
pub(crate) fn run(mut args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let seconds: f64 = args.next().ok_or("no seconds")?.parse()?;
    let rounds: u32 = args.next().ok_or("no rounds")?.parse()?;
    let mut found = Found::default();
    for keys in KEYS {
        let (judged, bare) = look_up(keys, Duration::from_secs_f64(seconds), rounds)?;
        found.judged.push(judged);
        found.bare.push(bare);
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&found)?)?;
    Ok(())
}

/// Nanoseconds per look-up among so many keys, round by round: judged, and bare.
pub(crate) fn look_up(count: usize, length: Duration, rounds: u32) -> Result<(Vec<f64>, Vec<f64>), Fault> {
    let view = View::new(SLOTS);
    let token = Token { lineage: LineageId::new("bench"), seq: 1 };
    view.begin(token.lineage.clone(), token.seq);
    view.prove(Clock::Boottime.now());
    let stamp = view.stamp(&token).ok_or("a lineage that was begun is not followed")?;

    let namespace = Namespace::new("bench")?;
    let cache: Cache<Arc<str>, Arc<Held>> = Cache::new(count as u64 * 2);
    let mut keys: Vec<Arc<str>> = Vec::new();
    for number in 0..count {
        let key = Key::new(&format!("k{number}"))?;
        let slots = Slots::of(&covering(&namespace, &key));
        let text: Arc<str> = Arc::from(&*key);
        keys.push(Arc::clone(&text));
        cache.insert(text, Arc::new(Held { stamp, slots }));
    }
    cache.run_pending_tasks();
    keys.shuffle(&mut rand::rng());

    let bare = |key: &str| cache.get(key).is_some();
    let judged = |key: &str| {
        let held = cache.get(key);
        held.is_some_and(|it| view.judge(it.stamp, &it.slots, Clock::Boottime.now(), MAX_STALENESS).valid())
    };
    let mut nanos = (Vec::new(), Vec::new());
    // A first turn of each, unmeasured.
    time(&keys, length, &judged)?;
    time(&keys, length, &bare)?;
    for _ in 0..rounds {
        nanos.0.push(time(&keys, length, &judged)?);
        nanos.1.push(time(&keys, length, &bare)?);
    }
    Ok(nanos)
}

/// Nanoseconds per look-up, each of which must find its key.
fn time(keys: &[Arc<str>], length: Duration, look: &dyn Fn(&str) -> bool) -> Result<f64, Fault> {
    let begin = now();
    let mut done = 0;
    let mut hits = 0_u64;
    let mut batches = keys.chunks(BATCH).cycle();
    while begin.elapsed() < length {
        let batch = batches.next().ok_or("no keys")?;
        hits += batch.iter().map(|key| u64::from(black_box(look(black_box(key))))).sum::<u64>();
        done += batch.len() as u64;
    }
    let nanos = begin.elapsed().as_secs_f64() * 1e9 / float(done);
    if hits == done { Ok(nanos) } else { Err(format!("{hits} hits of {done}").into()) }
}
