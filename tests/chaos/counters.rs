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

    /// The sums of a family by one of its labels, where they are not zero.
    pub(crate) fn by(&self, family: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (name, value) in &self.0 {
            let of_family = name.strip_prefix(family).filter(|rest| rest.starts_with('{'));
            if let Some(of) = of_family.and_then(|labels| value_of(labels, label)).filter(|_| *value != 0.0) {
                *sums.entry(of.to_owned()).or_default() += value;
            }
        }
        sums
    }

    /// The upper bound of the bucket that holds so many thousandths of a histogram's observations, in seconds; `None`
    /// of none, infinite beyond the last bound.
    pub(crate) fn quantile(&self, histogram: &str, per_mille: u32) -> Option<f64> {
        let buckets = self.by(&format!("{histogram}_bucket"), "le");
        let mut buckets: Vec<(f64, f64)> =
            buckets.iter().filter_map(|(bound, count)| Some((bound.parse().ok()?, *count))).collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let rank = buckets.last()?.1 * f64::from(per_mille) / 1000.0;
        buckets.into_iter().find(|(_, count)| rank <= *count).map(|(bound, _)| bound)
    }
}

/// The value of a label in `{name="value",other="value"}`.
fn value_of<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let labels = labels.strip_prefix('{')?.strip_suffix('}')?;
    let value = labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix('='))?;
    Some(value.trim_matches('"'))
}

#[test]
fn pages_are_summed_by_label_and_quantiles_are_upper_bounds() {
    let page = "# HELP x y\nfills{namespace=\"a\",cause=\"stale\"} 2\nfills{namespace=\"b\",cause=\"stale\"} 1\n\
                fills{namespace=\"b\",cause=\"dirty\"} 0\nlag_bucket{le=\"0.1\"} 9\nlag_bucket{le=\"0.5\"} 10\n\
                lag_bucket{le=\"+Inf\"} 10\n";
    let mut counters = Counters::parse(page);
    assert_eq!(counters.by("fills", "cause"), BTreeMap::from([("stale".to_owned(), 3.0)]));
    assert_eq!(counters.quantile("lag", 500), Some(0.1));
    assert_eq!(counters.quantile("lag", 999), Some(0.5));
    assert_eq!(counters.quantile("none", 500), None);
    counters.add(&Counters::parse("fills{namespace=\"a\",cause=\"stale\"} 4\n"));
    assert_eq!(counters.by("fills", "cause"), BTreeMap::from([("stale".to_owned(), 7.0)]));
}
