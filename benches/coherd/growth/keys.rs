//! An L1 look-up with 10³ to 10⁷ keys.
//!
//! `look-up KEYS SECONDS ROUNDS`: in a process of its own, on the servers' cores; it prints nanoseconds as JSON.

use std::env;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use super::ROUNDS;
use super::plot::{Axis, Curve, Plot};
use crate::fault::Fault;
use crate::measure::float;
use crate::report::median;
use crate::scenario::Stage;
use crate::scenario::inside;

const KEYS: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Share of a window that each look-up is measured for, each round.
const WINDOWS: f64 = 0.5;

pub(super) fn measure(stage: &Stage) -> Result<Plot, Fault> {
    let (mut judged, mut bare) = (Vec::new(), Vec::new());
    for keys in KEYS {
        let mut command = Command::new(env::current_exe()?);
        command.arg("look-up").arg(keys.to_string());
        command.arg(stage.plan.windows(WINDOWS).as_secs_f64().to_string()).arg(ROUNDS.to_string());
        let output = stage.cores.among_servers(|| command.output())?;
        if !output.status.success() {
            return Err(format!("look-up: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let nanos: (Vec<f64>, Vec<f64>) = serde_json::from_slice(&output.stdout)?;
        judged.push((float(keys), median(&nanos.0).unwrap_or_default()));
        bare.push((float(keys), median(&nanos.1).unwrap_or_default()));
        crate::progress(&format!("{keys} keys: done"));
    }
    Ok(Plot {
        title: "L1 look-up in the process, keys in random order",
        x: Axis { label: "keys", logarithmic: true },
        y: Axis { label: "ns a look-up", logarithmic: false },
        curves: vec![
            Curve { name: "moka get + judge", points: judged },
            Curve { name: "moka get", points: bare },
        ],
    })
}

/// `look-up KEYS SECONDS ROUNDS`.
pub(crate) fn run(mut args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let keys: usize = args.next().ok_or("no keys")?.parse()?;
    let seconds: f64 = args.next().ok_or("no seconds")?.parse()?;
    let rounds: u32 = args.next().ok_or("no rounds")?.parse()?;
    let nanos = inside::look_up(keys, Duration::from_secs_f64(seconds), rounds)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&nanos)?)?;
    Ok(())
}
