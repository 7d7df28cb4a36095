//! What the guards before every load and every request cost: the check of a breaker and of a rate limit, beside a bare
//! mutex that is locked and unlocked.
//!
//! `guards SECONDS ROUNDS`: measured in a process of its own, on the servers' cores; it prints nanoseconds as JSON.

use std::env;
use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coherd::clock::Clock;
use coherd::guard::{Breaker, BreakerSettings, RateLimit};
use coherd::model::{CallerId, Quota, Verdict};
use serde::{Deserialize, Serialize};

use super::Stage;
use crate::driver::now;
use crate::fault::Fault;
use crate::measure::float;
use crate::report::{Figure, Row, Table};

const FIGURES: [Figure; 2] = [
    Figure { name: "ns_of_a_breaker_check", heading: "breaker ns", decimals: 0, compared: true },
    Figure { name: "ns_of_a_rate_limit_check", heading: "limit ns", decimals: 0, compared: true },
];

/// Share of a window that each is measured for, each round.
const WINDOWS: f64 = 0.25;
/// Checks between two looks at the clock.
const BATCH: u64 = 1_000;
/// Callers that are told apart.
const CALLERS: usize = 1_000;

/// Nanoseconds per check, by round.
#[derive(Default, Deserialize, Serialize)]
struct Found {
    breaker: Vec<f64>,
    limit: Vec<f64>,
    bare: Vec<f64>,
}

/// Measures it.
pub(super) fn measure(stage: &Stage) -> Result<Table, Fault> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("guards").arg(stage.plan.windows(WINDOWS).as_secs_f64().to_string());
    command.arg(stage.plan.rounds.to_string());
    let output = stage.cores.among_servers(|| command.output())?;
    if !output.status.success() {
        return Err(format!("guards: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let Found { breaker, limit, bare } = serde_json::from_slice(&output.stdout)?;
    let rows = vec![
        Row { name: "guard", values: vec![breaker, limit] },
        Row { name: "bare mutex", values: vec![bare.clone(), bare] },
    ];
    let note = "nanoseconds per check, one thread. A breaker is asked and told; a rate limit counts one of 1,000 callers";
    Ok(Table::new("Guards inside the process", note.to_owned(), &FIGURES, rows))
}

/// `guards SECONDS ROUNDS`.
pub(crate) fn run(mut args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let seconds: f64 = args.next().ok_or("no seconds")?.parse()?;
    let rounds: usize = args.next().ok_or("no rounds")?.parse()?;
    let length = Duration::from_secs_f64(seconds);

    let settings = BreakerSettings {
        target: "bench".to_owned(),
        failures: 5,
        open_for: Duration::from_secs(5),
        probe_max: Duration::from_secs(2),
    };
    let breaker = Breaker::new(settings);
    let mut ask_and_tell = || {
        let Ok(pass) = breaker.enter() else { return false };
        pass.tell(true);
        true
    };
    // As much as anybody can spend in a second.
    let quota =
        Quota::new(u32::MAX, Duration::from_secs(1), u32::MAX).ok_or("a quota that is never regained")?;
    let limit = RateLimit::new(quota, Clock::Boottime);
    let callers: Vec<CallerId> = (0..CALLERS).map(|number| CallerId::of(&number.to_le_bytes())).collect();
    let mut next = callers.iter().cycle();
    let mut admit =
        || next.next().is_some_and(|caller| matches!(limit.admit(*caller), Verdict::Admitted { .. }));
    let mutex = Mutex::new(0_u64);
    let mut lock = || {
        *mutex.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        true
    };

    let mut found = Found::default();
    // A first turn of each, unmeasured.
    for round in 0..=rounds {
        let nanos = (time(length, &mut ask_and_tell)?, time(length, &mut admit)?, time(length, &mut lock)?);
        if 0 < round {
            found.breaker.push(nanos.0);
            found.limit.push(nanos.1);
            found.bare.push(nanos.2);
        }
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&found)?)?;
    Ok(())
}

/// Nanoseconds per check, each of which must let through.
fn time(length: Duration, check: &mut dyn FnMut() -> bool) -> Result<f64, Fault> {
    let begin = now();
    let (mut done, mut passed) = (0, 0);
    while begin.elapsed() < length {
        passed += (0..BATCH).map(|_| u64::from(black_box(check()))).sum::<u64>();
        done += BATCH;
    }
    let nanos = begin.elapsed().as_secs_f64() * 1e9 / float(done);
    if passed == done { Ok(nanos) } else { Err(format!("{passed} of {done} were let through").into()) }
}
