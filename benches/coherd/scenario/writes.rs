//! Writes behind, beside XADD and a loop of XREADGROUP: how many a second are accepted, and how many are at the origin.
//!
//! Both bring what they accepted to the same origin, on the generator's core. While it is closed it answers nobody: what
//! is accepted then is accepted alone, and what it takes once it is open is drained alone. Then both go on at once.

use std::net::SocketAddr;

use super::{Stage, connect_to};
use crate::driver::{Expected, Generator, Pace, now};
use crate::fault::Fault;
use crate::instance::BEHIND;
use crate::measure::{float, per_second};
use crate::plan::VALUE_BYTES;
use crate::process::Process;
use crate::reference::Kind;
use crate::report::{Figure, Row, Table, grouped};

const FIGURES: [Figure; 5] = [
    Figure { name: "accepted_per_second", heading: "accepted/s", decimals: 0, compared: true },
    Figure { name: "drained_per_second", heading: "drained/s", decimals: 0, compared: true },
    Figure { name: "both_per_second", heading: "both/s", decimals: 0, compared: true },
    Figure { name: "cpu_us_per_write", heading: "CPU µs/wr.", decimals: 0, compared: true },
    Figure { name: "valkey_cpu_us_per_write", heading: "Valkey µs", decimals: 0, compared: true },
];

/// Share of a window in which the slower side accepts as many writes as are measured at once.
const WINDOWS: f64 = 0.5;
/// Writes measured at once, however short a window is. What coherd's workers take in hand while the origin is closed is
/// 512 of them, and looks into queues that are empty, before the first write and behind the last, take tens of
/// milliseconds: of fewer, these would be what is measured. More are no longer pending but piled up.
const WRITES: std::ops::RangeInclusive<u64> = 4_000..=50_000;

struct Side<'a> {
    name: &'static str,
    generator: Generator,
    addr: SocketAddr,
    process: &'a Process,
    /// No key is written twice: every write has to be at the origin.
    written: u64,
    row: Row,
}

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let queue = stage.reference_before("queue", Kind::Queue, stage.register.addr)?;
    let mut sides = [
        Side::new("coherd", stage.instance.data, &stage.instance.process)?,
        Side::new("hyper + XADD", queue.addr, &queue.process)?,
    ];
    let mut slowest = f64::INFINITY;
    for side in &mut sides {
        let lead = side.round(stage, *WRITES.start())?;
        slowest = slowest.min(lead[0]);
    }
    let count = whole(slowest * stage.plan.windows(WINDOWS).as_secs_f64());
    let count = count.clamp(*WRITES.start(), *WRITES.end());
    for _ in 0..stage.plan.rounds {
        for side in &mut sides {
            let measured = side.round(stage, count)?;
            for (values, value) in side.row.values.iter_mut().zip(measured) {
                values.push(value);
            }
        }
    }
    let note = format!(
        "{} writes at once, no key twice, by PUT and answered 202; accepted while the origin answers nobody, drained once it\n\
         does, then both together, from the first PUT to the last at the origin. It is on the generator's core and takes no\n\
         write that is older than what it has. hyper + XADD: XREADGROUP COUNT 64, 32 at once to the origin, as coherd; XACK.",
        grouped(float(count), 0)
    );
    let rows = sides.into_iter().map(|side| side.row).collect();
    Ok(Table::new("Writes behind", note, &FIGURES, rows))
}

impl<'a> Side<'a> {
    fn new(name: &'static str, addr: SocketAddr, process: &'a Process) -> Result<Self, Fault> {
        let generator = connect_to(addr, Expected { status: 202, tier: None })?;
        Ok(Self { name, generator, addr, process, written: 0, row: Row::new(name, FIGURES.len()) })
    }

    /// What was measured of so many writes, in the order of the figures.
    fn round(&mut self, stage: &Stage, count: u64) -> Result<[f64; FIGURES.len()], Fault> {
        let cpu = || Ok::<_, Fault>([self.process.cpu()?, stage.valkey.process.cpu()?]);
        let before = cpu()?;

        stage.register.begin(true);
        let accepted = self.write(count)?;
        let opened = now();
        stage.register.open();
        let drained = float(count) / (self.drained(stage, count)? - opened).as_secs_f64();

        let begun = now();
        stage.register.begin(false);
        self.write(count)?;
        let both = float(count) / (self.drained(stage, count)? - begun).as_secs_f64();

        let cpu = || Ok::<_, Fault>([self.process.cpu()?, stage.valkey.process.cpu()?]);
        let after = cpu()?;
        let [own, valkey] = [0, 1].map(|of| (after[of] - before[of]) * 1e6 / float(2 * count));
        Ok([accepted, drained, both, own, valkey])
    }

    /// Writes so many keys; how many were accepted a second.
    fn write(&mut self, count: u64) -> Result<f64, Fault> {
        let (addr, written) = (self.addr, &mut self.written);
        let mut next = |request: &mut Vec<u8>| {
            put(request, addr, *written);
            *written += 1;
        };
        let run = self.generator.run(Pace::Count(count), &mut next).map_err(|error| self.fault(&error))?;
        Ok(per_second(&run))
    }

    /// When the last of so many was at the origin.
    fn drained(&self, stage: &Stage, count: u64) -> Result<std::time::Instant, Fault> {
        stage.register.wait(count).map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &std::io::Error) -> Fault {
        self.process.failed(&format!("({}): {error}", self.name))
    }
}

/// Writes a request for a key.
fn put(request: &mut Vec<u8>, addr: SocketAddr, number: u64) {
    let head = format!(
        "PUT /v1/cache/{BEHIND}/k{number} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {VALUE_BYTES}\r\n\r\n"
    );
    request.extend_from_slice(head.as_bytes());
    request.resize(request.len() + VALUE_BYTES, b'v');
}

/// Rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of writes within a window"
)]
fn whole(number: f64) -> u64 {
    number as u64
}
