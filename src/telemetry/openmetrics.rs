//! The OpenMetrics 1.0 text of gathered families. Without exemplars, units and timestamps, which it leaves optional.

use std::fmt::{self, Write};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Families of other types than counter, gauge and histogram are left out.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for family in families {
        write_family(&mut text, family).expect("a String takes all that is written");
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(to: &mut String, family: &MetricFamily) -> fmt::Result {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
    };
    // A counter family is named without the suffix that its samples carry.
    let name = match family.get_field_type() {
        MetricType::COUNTER => family.name().strip_suffix("_total").unwrap_or(family.name()),
        _ => family.name(),
    };
    writeln!(to, "# TYPE {name} {kind}")?;
    writeln!(to, "# HELP {name} {}", Escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => {
                sample(to, name, "_total", labels, None, metric.get_counter().get_value())?;
            }
            MetricType::GAUGE => sample(to, name, "", labels, None, metric.get_gauge().get_value())?,
            _ => write_histogram(to, name, metric)?,
        }
    }
    Ok(())
}

fn write_histogram(to: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram = metric.get_histogram();
    let labels = metric.get_label();
    for bucket in histogram.get_bucket().iter().filter(|it| it.upper_bound().is_finite()) {
        let bound = Number(bucket.upper_bound());
        sample(to, name, "_bucket", labels, Some(bound), count(bucket.cumulative_count()))?;
    }
    let all = count(histogram.get_sample_count());
    sample(to, name, "_bucket", labels, Some(Number(f64::INFINITY)), all)?;
    sample(to, name, "_count", labels, None, all)?;
    sample(to, name, "_sum", labels, None, histogram.get_sample_sum())
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and a scraper reads a float anyway")]
fn count(of: u64) -> f64 {
    of as f64
}

fn sample(
    to: &mut String,
    name: &str,
    suffix: &str,
    labels: &[LabelPair],
    bound: Option<Number>,
    value: f64,
) -> fmt::Result {
    write!(to, "{name}{suffix}")?;
    let mut separator = '{';
    for label in labels {
        write!(to, "{separator}{}=\"{}\"", label.name(), Escaped(label.value()))?;
        separator = ',';
    }
    if let Some(bound) = bound {
        write!(to, "{separator}le=\"{bound}\"")?;
        separator = ',';
    }
    if separator == ',' {
        to.push('}');
    }
    writeln!(to, " {}", Number(value))
}

/// A float in its canonical form: `1.0`, `+Inf`.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() {
            return f.write_str(if self.0.is_sign_positive() { "+Inf" } else { "-Inf" });
        }
        write!(f, "{:?}", self.0)
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.chars() {
            match part {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    use super::encode;

    #[test]
    fn the_text_is_what_the_standard_asks_for() {
        let registry = Registry::new();
        let hits = IntCounterVec::new(Opts::new("hits_total", "A \"hit\"."), &["who"]).unwrap();
        registry.register(Box::new(hits.clone())).unwrap();
        hits.with_label_values(&["a\\b\n"]).inc_by(3);
        let opts = HistogramOpts::new("took_seconds", "Time.").buckets(vec![0.000_05, 1.0]);
        let took = HistogramVec::new(opts, &["op"]).unwrap();
        registry.register(Box::new(took.clone())).unwrap();
        took.with_label_values(&["x"]).observe(0.5);
        took.with_label_values(&["x"]).observe(2.0);

        let expected = [
            "# TYPE hits counter",
            r#"# HELP hits A \"hit\"."#,
            r#"hits_total{who="a\\b\n"} 3.0"#,
            "# TYPE took_seconds histogram",
            "# HELP took_seconds Time.",
            r#"took_seconds_bucket{op="x",le="5e-5"} 0.0"#,
            r#"took_seconds_bucket{op="x",le="1.0"} 1.0"#,
            r#"took_seconds_bucket{op="x",le="+Inf"} 2.0"#,
            r#"took_seconds_count{op="x"} 2.0"#,
            r#"took_seconds_sum{op="x"} 2.5"#,
            "# EOF",
            "",
        ];
        assert_eq!(encode(&registry.gather()), expected.join("\n"));
    }
}
