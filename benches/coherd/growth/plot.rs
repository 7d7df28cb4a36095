//! A plot as SVG, and as a table of its points.

use std::fmt::Write as _;

use serde::Serialize;

use crate::fault::Fault;
use crate::report::grouped;

/// Sizes in pixels: of the picture, and of what is left free around the axes.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// One a curve; told apart by people who see no red or green, too.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
/// Marks on an axis that is not logarithmic.
const STEPS: f64 = 5.0;

/// One plot.
#[derive(Serialize)]
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) curves: Vec<Curve>,
}

/// What is drawn along one side.
#[derive(Serialize)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) logarithmic: bool,
}

/// One line of points.
#[derive(Serialize)]
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

impl Plot {
    /// The points as a table.
    pub(super) fn text(&self) -> Result<String, Fault> {
        let mut text = format!("\n{}\n{:>12}", self.title, self.x.label);
        for curve in &self.curves {
            write!(text, "  {:>24}", curve.name)?;
        }
        for (at, (x, _)) in self.curves[0].points.iter().enumerate() {
            write!(text, "\n{:>12}", grouped(*x, 0))?;
            for curve in &self.curves {
                let y = curve.points.get(at).map_or_else(String::new, |(_, y)| grouped(*y, 2));
                write!(text, "  {y:>24}")?;
            }
        }
        Ok(text + "\n")
    }

    /// The picture.
    pub(super) fn svg(&self) -> Result<String, Fault> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let x = Scale::of(self.x.logarithmic, points().map(|it| it.0), LEFT, WIDTH - RIGHT);
        let y = Scale::of(self.y.logarithmic, points().map(|it| it.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
            self.title
        );
        for mark in x.marks() {
            let (at, end) = (x.place(mark), HEIGHT - BOTTOM);
            write!(svg, "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{end}\" stroke=\"#eee\"/>")?;
            writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                end + 18.0,
                short(mark)
            )?;
        }
        for mark in y.marks() {
            let (at, end) = (y.place(mark), WIDTH - RIGHT);
            write!(svg, "<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>")?;
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                short(mark)
            )?;
        }
        let (middle, bottom) = (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 14.0);
        writeln!(svg, "<text x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\">{}</text>", self.x.label)?;
        writeln!(
            svg,
            "<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(TOP, HEIGHT - BOTTOM),
            self.y.label
        )?;
        let mut from = LEFT;
        for (curve, colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            let line: Vec<_> =
                curve.points.iter().map(|it| format!("{:.1},{:.1}", x.place(it.0), y.place(it.1))).collect();
            let line = line.join(" ");
            writeln!(
                svg,
                "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )?;
            for (at, over) in &curve.points {
                let (x, y) = (x.place(*at), y.place(*over));
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")?;
            }
            writeln!(svg, "<rect x=\"{from}\" y=\"27\" width=\"12\" height=\"4\" fill=\"{colour}\"/>")?;
            writeln!(svg, "<text x=\"{}\" y=\"34\">{}</text>", from + 16.0, curve.name)?;
            from += 170.0;
        }
        Ok(svg + "</svg>\n")
    }
}

/// From figures to places on the picture.
struct Scale {
    logarithmic: bool,
    figures: (f64, f64),
    places: (f64, f64),
}

impl Scale {
    /// An axis that is not logarithmic begins at zero.
    fn of(logarithmic: bool, figures: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, most) =
            figures.fold((f64::INFINITY, f64::MIN_POSITIVE), |(a, b), it| (a.min(it), b.max(it)));
        let figures = if logarithmic {
            (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()))
        } else {
            let step = round(most / STEPS);
            (0.0, step * (most / step).ceil())
        };
        Self { logarithmic, figures, places: (from, to) }
    }

    fn place(&self, figure: f64) -> f64 {
        let of = |it: f64| if self.logarithmic { it.log10() } else { it };
        let share = (of(figure) - of(self.figures.0)) / (of(self.figures.1) - of(self.figures.0));
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    fn marks(&self) -> Vec<f64> {
        let (least, most) = self.figures;
        let step = round(most / STEPS);
        let next = |at: &f64| Some(if self.logarithmic { at * 10.0 } else { at + step });
        std::iter::successors(Some(least), next).take_while(|at| *at <= most * 1.000_001).collect()
    }
}

/// Up to 1, 2, 4, 5 or 8 of its power of ten.
fn round(number: f64) -> f64 {
    let unit = 10_f64.powf(number.log10().floor());
    let wanted = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().find(|it| number <= it * unit * 1.000_001);
    wanted.unwrap_or(10.0) * unit
}

/// A figure in few letters.
fn short(number: f64) -> String {
    match number {
        it if it >= 1e6 => format!("{}M", it / 1e6),
        it if it >= 1e4 => format!("{}k", it / 1e3),
        it => format!("{}", (it * 1e3).round() / 1e3),
    }
}
