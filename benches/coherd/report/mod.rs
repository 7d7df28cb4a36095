//! The report: a table to read, and the same as JSON with every round.

mod bar;
mod table;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::company::Company;
use crate::fault::Fault;
use crate::machine::Machine;
use crate::measure::float;
use crate::plan::Plan;

pub(crate) use bar::Limit;
pub(crate) use table::{Figure, Row, Table, grouped, median};

/// Everything a run found.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Machine,
    plan: Plan,
    /// Known once all is done.
    company: Option<Company>,
    /// A path each.
    pub(crate) tables: Vec<Table>,
}

impl Report {
    /// Without tables yet.
    pub(crate) fn new(machine: Machine, plan: &Plan) -> Self {
        Self { machine, plan: *plan, company: None, tables: Vec::new() }
    }

    /// With who else was there, prints it, and writes it as JSON to `bench/report.json` in cargo's target folder.
    pub(crate) fn publish(mut self, company: Company) -> Result<(), Fault> {
        self.company = Some(company);
        let Machine { coherd, compiler, processor, processors, memory_mib, kernel, valkey, cores } =
            &self.machine;
        let Plan { window_seconds, rounds, connections, value_bytes } = self.plan;
        let mut text = format!(
            "coherd {coherd}, {compiler}\n\
             {processor}, {processors} cores, {} MiB; Linux {kernel}; {valkey}\n\
             {cores}; meanwhile others used {:.0} % of the machine, {:.0} % was stolen\n\n\
             {connections} connections over loopback, HTTP/1.1 keep-alive; values of {} bytes; windows of {window_seconds:.2} s.\n\
             {rounds} rounds, the sides in turn. A figure is the median of its rounds; ratios are taken round by round:\n\
             their median, and below it the least and the greatest. CPU: time of the process that answers; Valkey:\n\
             time of Valkey beside it; both, req/s and busy (share of the servers' cores in use) with every\n\
             connection busy; p50 and p99 at the rate stated, the same for all sides.\n",
            grouped(float(*memory_mib), 0),
            100.0 * company.others,
            100.0 * company.stolen,
            grouped(float(value_bytes as u64), 0),
        );
        for table in &self.tables {
            writeln!(text, "{}", table.text()?)?;
        }
        writeln!(text, "\nWhat must hold: the bar, the median of the rounds, the least and the greatest\n")?;
        for bar in self.tables.iter().flat_map(|table| &table.bars) {
            writeln!(text, "{}", bar.text())?;
        }
        let file = write("report.json", &self)?;
        writeln!(std::io::stdout(), "{text}")?;
        crate::progress(&format!("every round as JSON: {}", file.display()));
        Ok(())
    }
}

/// Writes a file of JSON to `bench` in cargo's target folder.
pub(crate) fn write(name: &str, found: &impl Serialize) -> Result<PathBuf, Fault> {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dir = tmp.parent().unwrap_or(tmp).join("bench");
    fs::create_dir_all(&dir)?;
    let file = dir.join(name);
    fs::write(&file, serde_json::to_vec_pretty(found)?)?;
    Ok(file)
}
