//! What instances count of themselves, summed over instances and over the processes of each.

use std::collections::BTreeMap;

/// Series of `/metrics` by their name with its labels: counters, and histograms as the counters they are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// Reads a page of metrics.
    pub(crate) fn parse(page: &str) -> Self {
        let series = page.lines().filter(|line| !line.starts_with('#'));
        let parsed = series.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(parsed.collect())
    }

    /// Adds what others counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            *self.0.entry(name.clone()).or_default() += value;
        }
    }
}
