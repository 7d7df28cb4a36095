//! How long an event takes from Valkey to the last of three instances that have applied it, with nothing else on the way.
//!
//! The event is published by the function `coherd_invalidate` on a plain socket. Three rooms of the library, a thread each
//! where things are measured, follow the log as instances do; the observer, on its own core, looks at their cursors
//! again and again. Beside it PUBLISH, and three SUBSCRIBE: on sockets that the observer itself looks at again and
//! again, and on sockets that three threads sleep on, where the rooms are.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coherd::model::Shard;

use super::Stage;
use crate::driver::{Histogram, histogram, now, record};
use crate::fault::Fault;
use crate::instance::HIT;
use crate::measure::{float, micros};
use crate::report::{Figure, Limit, Row, Table};
use crate::resp::{Resp, command};
use crate::room::Rooms;
use crate::subscribers::Subscribers;

const FIGURES: [Figure; 4] = [
    Figure { name: "p50_us", heading: "p50 µs", decimals: 0, compared: true },
    Figure { name: "p99_us", heading: "p99 µs", decimals: 0, compared: true },
    Figure { name: "p999_us", heading: "p99.9 µs", decimals: 0, compared: true },
    Figure { name: "valkey_cpu_us_per_event", heading: "Valkey µs", decimals: 0, compared: true },
];

const FOLLOWERS: usize = 3;
/// The rooms are a cluster of their own: no other instance hears their events.
const CLUSTER: &str = "applied";
const CHANNELS: [&str; 2] = ["applied-awake", "applied-asleep"];
/// Bytes of a bare message, as many as an announcement has.
const MESSAGE_BYTES: usize = 150;
/// Events a second: far below what any side can do, so that none waits for another.
const RATE: f64 = 250.0;
/// A round's windows.
const WINDOWS: f64 = 2.0;
/// How long after the last event was published the last follower may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells how many events every follower has.
type Reached<'a> = Box<dyn FnMut() -> io::Result<u64> + 'a>;

struct Side<'a> {
    name: &'static str,
    publisher: Resp,
    command: Vec<u8>,
    reached: Reached<'a>,
    row: Row,
    /// Of all rounds: one has too few events for the last permille.
    all: Histogram,
}

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let (rows, events) = followed_by(FOLLOWERS, stage.plan.rounds, stage)?;
    let note = format!(
        "from publication on a plain socket until the last of {FOLLOWERS} has it; {RATE} events/s; p99.9 over all {events} events\n\
         of a side. coherd: FCALL coherd_invalidate until the library's coherence room, three times on a thread each where\n\
         things are measured, has applied the event; the observer looks at the cursors. pub/sub: PUBLISH of as many bytes,\n\
         three SUBSCRIBE. asleep: a thread each, where the rooms are. awake: the observer reads all three without pause."
    );
    Ok(Table::new("Publication until applied on the last of three", note, &FIGURES, rows)
        .bar("publish to applied on the last of three, p50", "p50_us", Limit::Times(1.4, "sockets asleep"))
        .bar("  the same beside sockets that never sleep", "p50_us", Limit::Times(1.4, "sockets awake")))
}

/// A row of each side with so many followers, and how many events each had.
pub(crate) fn followed_by(followers: usize, rounds: u32, stage: &Stage) -> Result<(Vec<Row>, u64), Fault> {
    let valkey = stage.valkey.addr;
    let rooms: Vec<Rooms> = (0..followers)
        .map(|it| Rooms::start(1, &format!("room-{it}"), CLUSTER, valkey, &stage.cores))
        .collect::<Result<_, _>>()?;
    let applied = || {
        rooms
            .iter()
            .flat_map(|it| &it.of)
            .map(|room| room.place(Shard(0)).map_or(0, |it| it.seq))
            .min()
            .unwrap_or(0)
    };
    let asleep = Subscribers::start(followers, valkey, CHANNELS[1], &stage.cores)?;
    let mut awake = Awake::open(followers, valkey, CHANNELS[0])?;
    let message = "m".repeat(MESSAGE_BYTES);
    let control = format!("coherd:{{{CLUSTER}}}:ctl");
    let event = ["FCALL", "coherd_invalidate", "1", &control, "ns", HIT, "key", "applied"];
    let to = |channel| ["PUBLISH", channel, &message];
    let mut sides = [
        Side::open("coherd", valkey, &event, Box::new(|| Ok(applied())))?,
        Side::open("sockets asleep", valkey, &to(CHANNELS[1]), Box::new(|| Ok(asleep.heard_by_all())))?,
        Side::open("sockets awake", valkey, &to(CHANNELS[0]), Box::new(move || awake.heard_by_all()))?,
    ];
    for side in &mut sides {
        side.run(stage.plan.windows(1.0))?;
    }
    for _ in 0..rounds {
        for side in &mut sides {
            side.round(stage)?;
        }
    }
    for side in &mut sides {
        side.row.values[2].push(micros(&side.all, 99.9));
    }
    let events = sides[0].all.len();
    Ok((sides.into_iter().map(|side| side.row).collect(), events))
}

impl<'a> Side<'a> {
    fn open(
        name: &'static str,
        valkey: SocketAddr,
        args: &[&str],
        reached: Reached<'a>,
    ) -> Result<Self, Fault> {
        let mut publisher = Resp::open(valkey)?;
        // What is wrong with it is seen here.
        publisher.call(args)?;
        publisher.stream().set_nonblocking(true)?;
        let row = Row::new(name, FIGURES.len());
        Ok(Self { name, publisher, command: command(args), reached, row, all: histogram() })
    }

    fn round(&mut self, stage: &Stage) -> Result<(), Fault> {
        let before = stage.valkey.process.cpu()?;
        let latency = self.run(stage.plan.windows(WINDOWS))?;
        let spent = stage.valkey.process.cpu()? - before;
        let [p50, p99, _, valkey_cpu] = &mut self.row.values[..] else {
            return Err("a row without its figures".into());
        };
        p50.push(micros(&latency, 50.0));
        p99.push(micros(&latency, 99.0));
        valkey_cpu.push(spent * 1e6 / float(latency.len()));
        self.all.add(&latency)?;
        Ok(())
    }

    /// Publishes so many events a second for so long, and waits until every follower has every one of them.
    fn run(&mut self, length: Duration) -> Result<Histogram, Fault> {
        let mut latency = histogram();
        let base = self.settled()?;
        let begin = now();
        let mut due: Vec<Instant> = Vec::new();
        loop {
            let next = begin + Duration::from_secs_f64(float(due.len() as u64) / RATE);
            let over = begin + length <= next;
            if !over && next <= now() {
                due.push(next);
                self.publisher.send(&self.command)?;
            }
            let reached = usize::try_from((self.reached)()? - base)?;
            let seen = usize::try_from(latency.len())?;
            for at in due.get(seen..reached).unwrap_or_default() {
                record(&mut latency, *at);
            }
            self.publisher.look()?;
            if over && reached == due.len() {
                return Ok(latency);
            }
            if over && PATIENCE < next.elapsed() {
                return Err(format!("{}: {reached} of {} events arrived", self.name, due.len()).into());
            }
        }
    }

    /// How many events there are, once no more come.
    fn settled(&mut self) -> Result<u64, Fault> {
        let mut before = (self.reached)()?;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let reached = (self.reached)()?;
            if reached == before {
                return Ok(reached);
            }
            before = reached;
        }
    }
}

/// Subscribers' sockets that never sleep, and what each has heard.
struct Awake(Vec<(Resp, u64)>);

impl Awake {
    fn open(count: usize, valkey: SocketAddr, channel: &str) -> io::Result<Self> {
        let open = |_| {
            let mut resp = Resp::open(valkey)?;
            resp.call(&["SUBSCRIBE", channel])?;
            resp.stream().set_nonblocking(true)?;
            Ok((resp, 0))
        };
        (0..count).map(open).collect::<io::Result<_>>().map(Self)
    }

    fn heard_by_all(&mut self) -> io::Result<u64> {
        for (resp, heard) in &mut self.0 {
            *heard += resp.look()?;
        }
        Ok(self.0.iter().map(|(_, heard)| *heard).min().unwrap_or(0))
    }
}
