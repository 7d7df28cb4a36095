//! One path as a table: medians of the rounds, and ratios with their spread.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::bar::{Bar, Limit};
use crate::fault::Fault;

/// Width of the first column, and of every other.
const NAME_WIDTH: usize = 30;
const FIGURE_WIDTH: usize = 13;

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
    /// What it is held against.
    pub(super) bars: Vec<Bar>,
}

/// What is measured: a column.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    #[serde(skip)]
    pub(crate) heading: &'static str,
    #[serde(skip)]
    pub(crate) decimals: usize,
    /// Whether its ratio says anything.
    #[serde(skip)]
    pub(crate) compared: bool,
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
pub(super) struct Ratio {
    to: &'static str,
    /// By figure.
    figures: BTreeMap<&'static str, Option<Spread>>,
}

/// Values of several rounds. Of ratios, one round of a side is only ever compared with the same round of the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
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
                let pairs = pairs.zip(figures).filter(|(_, figure)| figure.compared);
                let spreads = pairs.map(|((ours, theirs), figure)| (figure.name, spread(ours, theirs)));
                Ratio { to: other.name, figures: spreads.collect() }
            })
            .collect();
        Self { title, note, figures: figures.to_vec(), rows, ratios, bars: Vec::new() }
    }

    /// Holds a figure of the first row against a bar.
    pub(crate) fn bar(mut self, path: &'static str, figure: &'static str, limit: Limit) -> Self {
        let measured = match limit {
            Limit::Times(_, to) => {
                let ratio = self.ratios.iter().find(|ratio| ratio.to == to);
                ratio.and_then(|ratio| ratio.figures.get(figure).copied().flatten())
            }
            Limit::Beyond(_, _, of) => {
                let of = self.rows.iter().find(|row| row.name == of);
                let both = self.column(self.rows.first(), figure).zip(self.column(of, figure));
                both.and_then(|(ours, theirs)| {
                    Spread::of(
                        &ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect::<Vec<_>>(),
                    )
                })
            }
            Limit::Most(..) | Limit::Least(..) => {
                self.column(self.rows.first(), figure).and_then(|values| Spread::of(values))
            }
        };
        self.bars.push(Bar::new(path, limit, measured));
        self
    }

    /// The values of a row in a column.
    fn column<'a>(&self, row: Option<&'a Row>, figure: &str) -> Option<&'a Vec<f64>> {
        let column = self.figures.iter().position(|it| it.name == figure)?;
        row?.values.get(column)
    }

    /// To read, at most 110 columns wide.
    pub(super) fn text(&self) -> Result<String, Fault> {
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
            let spreads = || self.figures.iter().map(|it| ratio.figures.get(it.name).copied().flatten());
            write!(text, "\n  {:1$}", format!("ratio to {}", ratio.to), NAME_WIDTH - 2)?;
            for spread in spreads() {
                let value = spread.map_or_else(String::new, |it| format!("x {:.2}", it.median));
                write!(text, "{value:>FIGURE_WIDTH$}")?;
            }
            write!(text, "\n{:NAME_WIDTH$}", "")?;
            for spread in spreads() {
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

fn spread(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).filter(|(_, b)| 0.0 < **b).map(|(a, b)| a / b).collect();
    Spread::of(&ratios)
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { median: median(values)?, min, max, rounds: values.len() })
    }
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
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
pub(crate) fn grouped(number: f64, decimals: usize) -> String {
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
