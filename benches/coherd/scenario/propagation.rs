//! How long an invalidation takes to the last of three instances, beside what merely carries a message there.
//!
//! All is seen from one process: from when a mark was due to be published until the last of three streams brought it.
//! With coherd a mark is an event by `POST /v1/invalidate` to one instance, and the streams are `/events` of all
//! three, which tell of an event once it is applied: the way from there to the observer counts too. A relay of hyper
//! and fred has the same hops; raw sockets, with PUBLISH and three SUBSCRIBE on Valkey itself, have none of them.

use std::net::SocketAddr;

use super::{Reference, Stage};
use crate::driver::{Histogram, MARK_BYTES, Marks, histogram};
use crate::fault::Fault;
use crate::instance::HIT;
use crate::measure::{float, micros};
use crate::plan::Plan;
use crate::process::Process;
use crate::reference::Kind;
use crate::report::{Figure, Row, Table};

const FIGURES: [Figure; 5] = [
    Figure { name: "p50_us", heading: "p50 µs", decimals: 0, compared: true },
    Figure { name: "p99_us", heading: "p99 µs", decimals: 0, compared: true },
    Figure { name: "p999_us", heading: "p99.9 µs", decimals: 0, compared: true },
    Figure { name: "cpu_us_per_event", heading: "CPU µs/ev.", decimals: 0, compared: true },
    Figure { name: "valkey_cpu_us_per_event", heading: "Valkey µs", decimals: 0, compared: true },
];

/// Instances, relays, raw subscribers.
const STREAMS: usize = 3;
/// Marks a second: far below what any side can do, so that none waits for another.
const RATE: f64 = 250.0;
/// A round's windows.
const WINDOWS: f64 = 2.0;

struct Side<'a> {
    name: &'static str,
    marks: Marks,
    message: Box<dyn Fn(&str) -> String>,
    processes: Vec<&'a Process>,
    row: Row,
    /// Of all rounds: one has too few marks for the last permille.
    all: Histogram,
}

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let (second, third) = (stage.another_instance("inst-2")?, stage.another_instance("inst-3")?);
    let instances = [&stage.instance, &second, &third];
    let relays: Vec<Reference> = (1..=STREAMS)
        .map(|it| stage.reference(&format!("relay-{it}"), Kind::Relay))
        .collect::<Result<_, _>>()?;
    let (admin, relay) = (instances.map(|it| it.admin), relays.iter().map(|it| it.addr));
    let relay: Vec<SocketAddr> = relay.collect();
    let mut sides = [
        Side::new(
            "coherd",
            Marks::open(stage.instance.data, &admin, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")?,
            |mark| post("/v1/invalidate", &format!("{{\"namespace\":\"{HIT}\",\"keys\":[\"{mark}\"]}}")),
            instances.iter().map(|it| &it.process).collect(),
        ),
        Side::new(
            "hand-made relay",
            Marks::open(relay[0], &relay, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?,
            |mark| post("/", mark),
            relays.iter().map(|it| &it.process).collect(),
        ),
        Side::new(
            "raw pub/sub",
            Marks::open(stage.valkey.addr, &[stage.valkey.addr; STREAMS], b"SUBSCRIBE raw\r\n")?,
            |mark| format!("*3\r\n$7\r\nPUBLISH\r\n$3\r\nraw\r\n${MARK_BYTES}\r\n{mark}\r\n"),
            Vec::new(),
        ),
    ];
    for side in &mut sides {
        let named = |error| format!("{}: {error}", side.name);
        side.marks.knock(&*side.message).map_err(named)?;
        side.marks.run(RATE, stage.plan.windows(1.0), &*side.message).map_err(named)?;
    }
    for _ in 0..stage.plan.rounds {
        for side in &mut sides {
            side.round(&stage.plan, &stage.valkey.process)?;
        }
    }
    for side in &mut sides {
        side.row.values[2].push(micros(&side.all, 99.9));
    }
    let note = format!(
        "from publication until the last of {STREAMS} streams has it, seen from one process; {RATE} events/s; p99.9 over\n\
         all {} events of a side. coherd: POST /v1/invalidate to one of {STREAMS} instances until /events of all have told\n\
         of it as applied. hand-made relay: POST, PUBLISH, SUBSCRIBE and a stream by hyper + fred, the same hops.\n\
         raw pub/sub: PUBLISH and {STREAMS} SUBSCRIBE on sockets of the observer's own, no hops.",
        sides[0].all.len()
    );
    let rows = sides.into_iter().map(|side| side.row).collect();
    Ok(Table::new("Propagation of an invalidation", note, &FIGURES, rows))
}

impl<'a> Side<'a> {
    fn new(
        name: &'static str,
        marks: Marks,
        message: impl Fn(&str) -> String + 'static,
        processes: Vec<&'a Process>,
    ) -> Self {
        let row = Row::new(name, FIGURES.len());
        Self { name, marks, message: Box::new(message), processes, row, all: histogram() }
    }

    fn round(&mut self, plan: &Plan, valkey: &Process) -> Result<(), Fault> {
        let before = (self.cpu()?, valkey.cpu()?);
        let run = self.marks.run(RATE, plan.windows(WINDOWS), &*self.message);
        let run = run.map_err(|error| format!("{}: {error}", self.name))?;
        let per_mark = |seconds: f64| seconds * 1e6 / float(run.marks);
        let spent = (self.cpu()? - before.0, valkey.cpu()? - before.1);
        let [p50, p99, _, cpu, valkey_cpu] = &mut self.row.values[..] else {
            return Err("a row without its figures".into());
        };
        p50.push(micros(&run.latency, 50.0));
        p99.push(micros(&run.latency, 99.0));
        if !self.processes.is_empty() {
            cpu.push(per_mark(spent.0));
        }
        valkey_cpu.push(per_mark(spent.1));
        self.all.add(&run.latency)?;
        Ok(())
    }

    fn cpu(&self) -> Result<f64, Fault> {
        self.processes.iter().map(|it| it.cpu()).sum()
    }
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
