//! What a figure must reach, and whether it did.

use serde::{Serialize, Serializer};

use super::grouped;
use super::table::Spread;

/// Width of the column of paths, and of those that follow.
const PATH_WIDTH: usize = 62;
const COLUMN_WIDTH: usize = 14;

/// What a figure of the first row must reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// At most so many times that of the row of this name.
    Times(f64, &'static str),
    /// At most so much, in a unit.
    Most(f64, &'static str),
    /// At most so much more than the row of this name, in a unit.
    Beyond(f64, &'static str, &'static str),
    /// At least so much, in a unit.
    Least(f64, &'static str),
}

/// A figure held against what it must reach.
#[derive(Serialize)]
pub(crate) struct Bar {
    path: &'static str,
    limit: Limit,
    measured: Option<Spread>,
    holds: bool,
}

impl Bar {
    pub(super) fn new(path: &'static str, limit: Limit, measured: Option<Spread>) -> Self {
        let holds = measured.is_some_and(|it| match limit {
            Limit::Times(most, _) | Limit::Most(most, _) | Limit::Beyond(most, ..) => it.median <= most,
            Limit::Least(least, _) => least <= it.median,
        });
        Self { path, limit, measured, holds }
    }

    /// A line of the list.
    pub(super) fn text(&self) -> String {
        let number = |number: f64| match self.limit {
            Limit::Times(..) => format!("x {number:.2}"),
            Limit::Most(..) | Limit::Beyond(..) | Limit::Least(..) => grouped(number, decimals(number)),
        };
        let measured = self.measured.map_or_else(|| "-".to_owned(), |it| number(it.median));
        let spread =
            self.measured.map_or_else(String::new, |it| format!("{}-{}", number(it.min), number(it.max)));
        let holds = if self.holds { "holds" } else { "FAILS" };
        format!(
            "  {:PATH_WIDTH$}{:>COLUMN_WIDTH$}{measured:>COLUMN_WIDTH$}  {holds}  {spread}",
            self.path,
            self.limit.text()
        )
    }
}

/// Decimals that a number of a unit is shown with.
fn decimals(number: f64) -> usize {
    match number {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    }
}

impl Limit {
    fn text(self) -> String {
        match self {
            Self::Times(most, _) => format!("<= x {most}"),
            Self::Most(most, unit) | Self::Beyond(most, unit, _) => {
                // Two figures say enough of it, and a limit of 1.3 is not one of 1.
                let decimals = if most.fract() == 0.0 { 0 } else { decimals(most) };
                format!("<= {} {unit}", grouped(most, decimals)).trim_end().to_owned()
            }
            Self::Least(least, unit) => format!(">= {} {unit}", grouped(least, 0)),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let to = match self {
            Self::Times(_, to) => format!(" that of {to}"),
            Self::Beyond(.., to) => format!(" more than {to}"),
            Self::Most(..) | Self::Least(..) => String::new(),
        };
        serializer.serialize_str(&(self.text() + &to))
    }
}
