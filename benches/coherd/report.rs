//! The report: a table to read, and the same as JSON with every round.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::fault::Fault;
use crate::machine::Machine;
use crate::measure::float;
use crate::plan::Plan;

/// Width of the first column, and of every other.
const NAME_WIDTH: usize = 28;
const FIGURE_WIDTH: usize = 13;

/// Everything a run found.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Machine,
    plan: Plan,
    /// A path each.
    pub(crate) tables: Vec<Table>,
}

/// One path: coherd in the first row, a counterpart in every other.
#[derive(Serialize)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    /// How it was measured.
    pub(crate) note: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) rows: Vec<Row>,
    /// Of the first row to each other.
    ratios: Vec<Ratio>,
}

/// What is measured: a column.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    #[serde(skip)]
    pub(crate) heading: &'static str,
    #[serde(skip)]
    pub(crate) decimals: usize,
}

/// One side.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// By figure, by round; one value where it takes all rounds to have one, none where there is no such thing.
    pub(crate) values: Vec<Vec<f64>>,
}

impl Row {
    /// Without values yet.
    pub(crate) fn new(name: &'static str, figures: usize) -> Self {
        Self { name, values: vec![Vec::new(); figures] }
    }
}

#[derive(Serialize)]
struct Ratio {
    to: &'static str,
    /// By figure.
    figures: Vec<Option<Spread>>,
}

/// Ratios round by round: one round of a side is only ever compared with the same round of the other.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
}

impl Table {
    /// Compares the first row with the others.
    pub(crate) fn new(title: &'static str, note: String, figures: &[Figure], rows: Vec<Row>) -> Self {
        let (subject, counterparts) =
            rows.split_first().map_or((None, &[][..]), |(it, rest)| (Some(it), rest));
        let ratios = counterparts
            .iter()
            .map(|other| {
                let pairs = subject.into_iter().flat_map(|subject| subject.values.iter().zip(&other.values));
                Ratio { to: other.name, figures: pairs.map(|(ours, theirs)| spread(ours, theirs)).collect() }
            })
            .collect();
        Self { title, note, figures: figures.to_vec(), rows, ratios }
    }

    fn text(&self) -> Result<String, Fault> {
        let mut text = format!("\n{}\n{}\n\n", self.title, self.note);
        write!(text, "{:NAME_WIDTH$}", "")?;
        for figure in &self.figures {
            write!(text, "{:>FIGURE_WIDTH$}", figure.heading)?;
        }
        for row in &self.rows {
            write!(text, "\n  {:1$}", row.name, NAME_WIDTH - 2)?;
            for (figure, values) in self.figures.iter().zip(&row.values) {
                let value = median(values).map_or_else(|| "-".to_owned(), |it| grouped(it, figure.decimals));
                write!(text, "{value:>FIGURE_WIDTH$}")?;
            }
        }
        for ratio in &self.ratios {
            write!(text, "\n  {:1$}", format!("ratio to {}", ratio.to), NAME_WIDTH - 2)?;
            for spread in &ratio.figures {
                let value = spread.map_or_else(|| "-".to_owned(), |it| format!("x {:.2}", it.median));
                write!(text, "{value:>FIGURE_WIDTH$}")?;
            }
            write!(text, "\n  {:1$}", "  min to max", NAME_WIDTH - 2)?;
            for spread in &ratio.figures {
                let spread = spread.filter(|it| 1 < it.rounds);
                let value = spread.map_or_else(String::new, |it| format!("{:.2}-{:.2}", it.min, it.max));
                write!(text, "{value:>FIGURE_WIDTH$}")?;
            }
        }
        // Columns that are empty at the end of a line leave no blanks there.
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        Ok(lines.join("\n"))
    }
}

impl Report {
    /// Without tables yet.
    pub(crate) fn new(machine: Machine, plan: &Plan) -> Self {
        Self { machine, plan: *plan, tables: Vec::new() }
    }

    /// Prints it, and writes it as JSON to `bench/report.json` in cargo's target folder.
    pub(crate) fn publish(&self) -> Result<(), Fault> {
        let Machine {
            coherd,
            compiler,
            processor,
            processors,
            memory_mib,
            kernel,
            valkey,
            cores,
            load_before,
        } = &self.machine;
        let Plan { window_seconds, rounds, connections, value_bytes } = self.plan;
        let mut text = format!(
            "coherd {coherd}, {compiler}\n\
             {processor}, {processors} cores, {} MiB; Linux {kernel}; {valkey}\n\
             {cores}; load average before: {load_before}\n\
             {connections} connections over loopback, HTTP/1.1 keep-alive; values of {} bytes; {rounds} rounds, the sides in turn,\n\
             windows of {window_seconds:.2} s. A figure is the median of its rounds; a ratio is taken round by round: median, and\n\
             its spread below. CPU time is that of the process that answers; req/s and CPU at its limit,\n\
             p50 and p99 at the stated rate; busy: the share of the servers' cores in use at the limit.\n",
            grouped(float(*memory_mib), 0),
            grouped(float(value_bytes as u64), 0),
        );
        for table in &self.tables {
            writeln!(text, "{}", table.text()?)?;
        }
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = tmp.parent().unwrap_or(tmp).join("bench");
        fs::create_dir_all(&dir)?;
        let file = dir.join("report.json");
        fs::write(&file, serde_json::to_vec_pretty(self)?)?;
        writeln!(std::io::stdout(), "{text}")?;
        crate::progress(&format!("every round as JSON: {}", file.display()));
        Ok(())
    }
}

fn spread(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).filter(|(_, b)| 0.0 < **b).map(|(a, b)| a / b).collect();
    let median = median(&ratios)?;
    let min = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let max = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(Spread { median, min, max, rounds: ratios.len() })
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        Some(f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, sorted[middle]))
    } else {
        sorted.get(middle).copied()
    }
}

/// With commas between thousands.
fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index != 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}
