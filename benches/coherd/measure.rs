//! Sides in turn: each is driven to its limit and at a common rate, round after round, and compared round by round.

use std::net::SocketAddr;

use crate::driver::{Expected, Generator, Histogram, Pace, Run};
use crate::fault::Fault;
use crate::plan::{CONNECTIONS, Plan};
use crate::process::Process;
use crate::report::{Figure, Row};

/// The figures of a path over HTTP.
pub(crate) const FIGURES: [Figure; 6] = [
    Figure { name: "cpu_us_per_request", heading: "CPU µs/req", decimals: 2, compared: true },
    Figure { name: "valkey_cpu_us_per_request", heading: "Valkey µs", decimals: 2, compared: true },
    Figure { name: "requests_per_second", heading: "req/s", decimals: 0, compared: true },
    Figure { name: "p50_us", heading: "p50 µs", decimals: 0, compared: true },
    Figure { name: "p99_us", heading: "p99 µs", decimals: 0, compared: true },
    Figure { name: "servers_busy", heading: "busy", decimals: 2, compared: false },
];

/// Share of the slowest side's limit at which latency is taken, the same requests a second for all.
const RATE_SHARE: f64 = 0.5;
/// Share of requests that must be answered by the tier that is measured.
const EXPECTED_MIN: f64 = 0.99;
/// Part of a window that is driven before each, unmeasured: the other side has had the caches of the machine.
const LEAD: f64 = 0.1;

/// Writes one request after the other.
pub(crate) type Requests<'a> = Box<dyn FnMut(&mut Vec<u8>) + 'a>;

/// One side of a comparison.
pub(crate) struct Side<'a> {
    /// As the report calls it.
    pub(crate) name: &'static str,
    /// Connections to it.
    pub(crate) generator: Generator,
    /// Writes the next request.
    pub(crate) next: Requests<'a>,
    /// The process that answers.
    pub(crate) front: &'a Process,
    /// Valkey, where the path leads there.
    pub(crate) valkey: Option<&'a Process>,
    /// Whatever else works for it.
    pub(crate) behind: Option<&'a Process>,
}

/// What a comparison gave.
pub(crate) struct Compared {
    /// A row a side.
    pub(crate) rows: Vec<Row>,
    /// Requests a second at which latency was taken.
    pub(crate) rate: f64,
}

/// Measures the sides in turn; `cores` of them are the servers'.
pub(crate) fn compare(sides: &mut [Side<'_>], plan: &Plan, cores: usize) -> Result<Compared, Fault> {
    let mut slowest = f64::INFINITY;
    for side in &mut *sides {
        let run = side.run(Pace::Saturated(plan.windows(1.0)))?;
        slowest = slowest.min(per_second(&run));
    }
    let rate = two_digits(slowest * RATE_SHARE);
    let mut rows: Vec<Row> = sides.iter().map(|side| Row::new(side.name, FIGURES.len())).collect();
    for _ in 0..plan.rounds {
        for (side, row) in sides.iter_mut().zip(&mut rows) {
            for (values, value) in row.values.iter_mut().zip(side.round(rate, plan, cores)?) {
                values.extend(value);
            }
        }
    }
    Ok(Compared { rows, rate })
}

impl Side<'_> {
    fn round(&mut self, rate: f64, plan: &Plan, cores: usize) -> Result<[Option<f64>; 6], Fault> {
        self.run(Pace::Saturated(plan.windows(LEAD)))?;
        let before = self.cpu()?;
        let limit = self.run(Pace::Saturated(plan.windows(1.0)))?;
        let spent: Vec<Option<f64>> =
            self.cpu()?.iter().zip(&before).map(|(after, before)| Some((*after)? - (*before)?)).collect();
        let paced = self.run(Pace::Rate(rate, plan.windows(1.0)))?;
        let per_request = |seconds: f64| seconds * 1e6 / float(limit.requests);
        let busy = spent.iter().flatten().sum::<f64>() / limit.elapsed.as_secs_f64() / float(cores as u64);
        Ok([
            spent[0].map(per_request),
            spent[1].map(per_request),
            Some(per_second(&limit)),
            Some(micros(&paced.latency, 50.0)),
            Some(micros(&paced.latency, 99.0)),
            Some(busy),
        ])
    }

    pub(crate) fn run(&mut self, pace: Pace) -> Result<Run, Fault> {
        let run =
            self.generator.run(pace, &mut *self.next).map_err(|error| format!("{}: {error}", self.name))?;
        if float(run.expected) < EXPECTED_MIN * float(run.requests) {
            let Run { requests, expected, .. } = run;
            return Err(format!("{}: {expected} of {requests} came from the tier measured", self.name).into());
        }
        Ok(run)
    }

    /// Seconds of CPU time: of the front, of Valkey, of what else there is.
    fn cpu(&self) -> Result<[Option<f64>; 3], Fault> {
        let seconds = |process: Option<&Process>| process.map(Process::cpu).transpose();
        Ok([seconds(Some(self.front))?, seconds(self.valkey)?, seconds(self.behind)?])
    }
}

/// Sends so many requests, whichever tier answers them.
pub(crate) fn fill(addr: SocketAddr, mut next: Requests<'_>, count: u64) -> Result<(), Fault> {
    let mut generator = Generator::open(addr, CONNECTIONS, Expected { status: 200, tier: None })?;
    generator.run(Pace::Count(count), &mut *next).map_err(|error| format!("filling: {error}"))?;
    Ok(())
}

/// A percentile in microseconds.
pub(crate) fn micros(latency: &Histogram, percentile: f64) -> f64 {
    float(latency.value_at_percentile(percentile)) / 1e3
}

/// For a number that is no larger than what a double holds exactly.
#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of one run are below 2^52")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

/// Requests a second.
pub(crate) fn per_second(run: &Run) -> f64 {
    float(run.requests) / run.elapsed.as_secs_f64()
}

/// Rounded down to two significant digits, for a rate that reads well.
pub(crate) fn two_digits(number: f64) -> f64 {
    let unit = 10_f64.powf(number.log10().floor() - 1.0);
    (number / unit).floor() * unit
}
