//! The load generator: one thread on a core of its own, plain sockets, nothing between it and the kernel.
//!
//! A client library would cost about as much CPU time per request as the servers that are measured, and the generator
//! would be what is measured.

mod connection;
mod load;
mod marks;
mod poll;
mod register;

use std::time::Instant;

pub(crate) use connection::Expected;
pub(crate) use load::{Generator, Pace, Run};
pub(crate) use marks::{MARK_BYTES, Marks};
pub(crate) use register::Register;

/// Longest latency told from a longer one: a minute, in nanoseconds.
const LATENCY_MAX: u64 = 60_000_000_000;

/// Latencies in nanoseconds, to three digits.
pub(crate) type Histogram = hdrhistogram::Histogram<u64>;

/// An empty histogram.
pub(crate) fn histogram() -> Histogram {
    Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("these bounds are among those a histogram can have")
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Counts the nanoseconds since `begin`.
pub(crate) fn record(latency: &mut Histogram, begin: Instant) {
    latency.saturating_record(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
}
