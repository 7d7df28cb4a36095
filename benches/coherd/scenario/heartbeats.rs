//! What 100 instances cost Valkey while nothing happens: their heartbeats alone, and all that they send.

use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::Duration;

use coherd::backend::{Backend, Beat, LinkState, Member};
use coherd::model::Shard;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Stage;
use crate::driver::now;
use crate::fault::Fault;
use crate::report::{Figure, Limit, Row, Table};
use crate::resp::Resp;
use crate::room::{MAX_STALENESS, Rooms, backend};
use crate::valkey::Valkey;

const FIGURES: [Figure; 1] =
    [Figure { name: "valkey_percent_of_a_core", heading: "Valkey %", decimals: 2, compared: true }];

const INSTANCES: u32 = 100;
/// Heartbeats a second of one instance, by default: an eighth of `max_staleness` apart, and at most 250 ms.
const RATE: u32 = 4;
/// A round's windows.
const WINDOWS: f64 = 1.5;

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let dir = tempfile::tempdir()?;
    let valkey = Valkey::start(dir.path(), &stage.cores)?;
    let [mut beating, mut pings, mut idle, mut nobody] =
        ["heartbeats of 100", "PING as often", "100 idle instances", "nobody"]
            .map(|name| Row::new(name, FIGURES.len()));
    for _ in 0..stage.plan.rounds {
        nobody.values[0].push(percent(stage, &valkey)?);
    }
    for nobody in &nobody.values[0] {
        pings.values[0].push(ping(stage, &valkey)? - nobody);
    }
    {
        let _beats = Beats::start(stage, &valkey)?;
        percent(stage, &valkey)?;
        for nobody in &nobody.values[0] {
            beating.values[0].push(percent(stage, &valkey)? - nobody);
        }
    }
    {
        let _rooms = Rooms::start(usize::try_from(INSTANCES)?, "room", "idle", valkey.addr, &stage.cores)?;
        percent(stage, &valkey)?;
        for _ in 0..stage.plan.rounds {
            idle.values[0].push(percent(stage, &valkey)?);
        }
    }
    let note = format!(
        "Valkey's CPU time, in percent of one core. heartbeats of 100: {RATE} a second of each, sent by one process through\n\
         the library's backend, less what Valkey uses where nobody is. PING as often: the least that any command costs, from\n\
         a plain socket, less the same. 100 idle instances: as many coherence rooms of the\n\
         library in one process, with all their connections: heartbeats, looks at the members, subscriptions, the inbox."
    );
    Ok(Table::new("Heartbeats", note, &FIGURES, vec![beating, pings, idle, nobody]).bar(
        "heartbeats of 100 instances, of one Valkey core",
        FIGURES[0].name,
        Limit::Most(1.0, "%"),
    ))
}

/// Of a core that Valkey uses for a while.
fn percent(stage: &Stage, valkey: &Valkey) -> Result<f64, Fault> {
    let (before, begin) = (valkey.process.cpu()?, now());
    sleep(stage.plan.windows(WINDOWS));
    Ok(100.0 * (valkey.process.cpu()? - before) / begin.elapsed().as_secs_f64())
}

/// The same while one plain connection sends a PING as often as heartbeats come.
fn ping(stage: &Stage, valkey: &Valkey) -> Result<f64, Fault> {
    let mut pinger = Resp::open(valkey.addr)?;
    let (before, begin) = (valkey.process.cpu()?, now());
    let (mut due, pause) = (Duration::ZERO, Duration::from_secs(1) / (INSTANCES * RATE));
    while begin.elapsed() < stage.plan.windows(WINDOWS) {
        pinger.call(&["PING"])?;
        due += pause;
        sleep(due.saturating_sub(begin.elapsed()));
    }
    Ok(100.0 * (valkey.process.cpu()? - before) / begin.elapsed().as_secs_f64())
}

/// Sends the heartbeats of many instances, evenly spread, until this is dropped.
struct Beats {
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Beats {
    fn start(stage: &Stage, valkey: &Valkey) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let backend = backend("beats", valkey.addr)?;
        let stop = CancellationToken::new();
        let until = stop.clone();
        let thread = stage.cores.among_servers(|| {
            Ok::<_, Fault>(thread::spawn(move || {
                let connected = backend.keep_connected(until.clone());
                runtime
                    .block_on(async { tokio::join!(connected, beat(&backend, &until)) })
                    .0
                    .unwrap_or_default();
            }))
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn beat(backend: &Arc<dyn Backend>, stop: &CancellationToken) {
    drop(backend.link().wait_for(|state| matches!(state, LinkState::Up { .. })).await);
    let mut due = interval(Duration::from_secs(1) / (INSTANCES * RATE));
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_u64.. {
        if stop.run_until_cancelled(due.tick()).await.is_none() {
            return;
        }
        let instance = number % u64::from(INSTANCES);
        let member = Member {
            instance: format!("inst-{instance}"),
            cursor: 0,
            max_staleness: MAX_STALENESS,
            beats: number / u64::from(INSTANCES) + 1,
        };
        // One that fails is one fewer: seen in the figure.
        drop(backend.beat(Shard(0), Beat { member, known: 0 }).await);
    }
}
