//! How cost grows: with keys, with bytes of a value, with instances, with tags of an entry. Plots for the README:
//! `make bench-growth`.

mod instances;
mod keys;
mod paths;
mod plot;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::fault::Fault;
use crate::machine::{self, Machine};
use crate::plan::{self, Plan};
use crate::report;
use crate::scenario::Stage;
use plot::Plot;

pub(crate) use keys::run as look_up;

/// Draws one of them.
type Draw = fn(&Stage) -> Result<Plot, Fault>;

/// Every plot, as `BENCH_ONLY` and its file call it.
const PLOTS: [(&str, Draw); 5] = [
    ("values", paths::values),
    ("tags", paths::tags),
    ("instances", instances::events),
    ("applied", instances::applied),
    ("keys", keys::measure),
];

/// Measurements of each point; its median is drawn.
const ROUNDS: u32 = 3;

/// Everything that was measured.
#[derive(Serialize)]
struct Growth {
    machine: Machine,
    plots: Vec<Plot>,
}

/// Measures all of it, draws it into `benches/plots`, and writes it as JSON to `bench/growth.json` in cargo's target folder.
pub(crate) fn run() -> Result<(), Fault> {
    let stage = Stage::set(Plan::from_env()?)?;
    let machine = machine::describe(&stage)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plots");
    fs::create_dir_all(&folder)?;
    let mut plots = Vec::new();
    for name in plan::chosen(PLOTS.iter().map(|it| it.0))? {
        let (_, measure) = PLOTS.iter().find(|it| it.0 == name).ok_or("a plot that is none")?;
        let plot = measure(&stage)?;
        fs::write(folder.join(format!("{name}.svg")), plot.svg()?)?;
        writeln!(std::io::stdout(), "{}", plot.text()?)?;
        plots.push(plot);
    }
    let file = report::write("growth.json", &Growth { machine, plots })?;
    crate::progress(&format!("plots in {}, their figures in {}", folder.display(), file.display()));
    Ok(())
}
