//! What is measured and for how long: names and one number from outside, shared out among the windows.

use std::env;
use std::time::Duration;

use serde::Serialize;

use crate::fault::Fault;

/// How often every side is measured, in turn with the others: drift of the machine hits all of them.
pub(crate) const ROUNDS: u32 = 5;
/// Keep-alive connections of the load generator.
pub(crate) const CONNECTIONS: usize = 32;
/// Bytes of every value.
pub(crate) const VALUE_BYTES: usize = 1024;
/// Bytes of a small one.
pub(crate) const SMALL_BYTES: usize = 16;

/// Measured seconds of a whole run, without starts and fills, unless `BENCH_SECONDS` says otherwise.
const SECONDS: f64 = 220.0;
/// All windows of a whole run, in units of one: 15 sides over HTTP with two windows a round, a lead and a warm-up, 8 of
/// events with a double window a round and a warm-up, and the look-ups.
const WINDOWS: f64 = 270.0;
/// Below it the kernel's count of CPU time, in hundredths of a second, says nothing.
const WINDOW_MIN: f64 = 0.05;

/// How long everything is measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Plan {
    /// Seconds of one window.
    pub(crate) window_seconds: f64,
    /// How often every side is measured.
    pub(crate) rounds: u32,
    /// Connections of the load generator.
    pub(crate) connections: usize,
    /// Bytes of every value.
    pub(crate) value_bytes: usize,
}

impl Plan {
    /// From `BENCH_SECONDS`.
    pub(crate) fn from_env() -> Result<Self, Fault> {
        let seconds = match env::var("BENCH_SECONDS") {
            Ok(text) => match text.parse::<f64>() {
                Ok(seconds) if (1.0..=36_000.0).contains(&seconds) => seconds,
                _ => return Err(format!("BENCH_SECONDS is `{text}`, not seconds from 1 to 36000").into()),
            },
            Err(_) => SECONDS,
        };
        let window_seconds = (seconds / WINDOWS).max(WINDOW_MIN);
        Ok(Self { window_seconds, rounds: ROUNDS, connections: CONNECTIONS, value_bytes: VALUE_BYTES })
    }

    /// A window, so many times.
    pub(crate) fn windows(&self, times: f64) -> Duration {
        Duration::from_secs_f64(self.window_seconds * times)
    }
}

/// Those of the names that `BENCH_ONLY` has, with commas between; all if it is not there or empty.
pub(crate) fn chosen(known: impl Iterator<Item = &'static str>) -> Result<Vec<&'static str>, Fault> {
    let known: Vec<_> = known.collect();
    let named = env::var("BENCH_ONLY").unwrap_or_default();
    let named: Vec<&str> = named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        return Err(format!("BENCH_ONLY has `{unknown}`, not one of {}", known.join(",")).into());
    }
    Ok(known.into_iter().filter(|name| named.is_empty() || named.contains(name)).collect())
}
