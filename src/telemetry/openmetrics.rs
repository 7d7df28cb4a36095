//! The OpenMetrics 1.0 text of gathered families. Without units and timestamps, which it leaves optional.

use std::fmt::{self, Write};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::metrics::Exemplar;

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The exemplar of a family's child, by its labels, in a bucket by its place; the last bucket has no bound.
pub(super) type ExemplarOf<'a> = dyn Fn(&str, &[LabelPair], usize) -> Option<Exemplar> + 'a;

/// Families of other types than counter, gauge and histogram are left out.
pub(super) fn encode(families: &[MetricFamily], exemplars: &ExemplarOf<'_>) -> String {
    let mut text = String::with_capacity(16 * 1024);
    for family in families {
        write_family(&mut text, family, exemplars).expect("a String takes all that is written");
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(to: &mut String, family: &MetricFamily, exemplars: &ExemplarOf<'_>) -> fmt::Result {
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
                sample(to, name, "_total", labels, None, metric.get_counter().get_value(), None)?;
            }
            MetricType::GAUGE => sample(to, name, "", labels, None, metric.get_gauge().get_value(), None)?,
            _ => write_histogram(to, name, metric, exemplars)?,
        }
    }
    Ok(())
}

fn write_histogram(to: &mut String, name: &str, metric: &Metric, exemplars: &ExemplarOf<'_>) -> fmt::Result {
    let histogram = metric.get_histogram();
    let labels = metric.get_label();
    let mut buckets = 0;
    for bucket in histogram.get_bucket().iter().filter(|it| it.upper_bound().is_finite()) {
        let (bound, exemplar) = (Number(bucket.upper_bound()), exemplars(name, labels, buckets));
        sample(to, name, "_bucket", labels, Some(bound), count(bucket.cumulative_count()), exemplar)?;
        buckets += 1;
    }
    let all = count(histogram.get_sample_count());
    let exemplar = exemplars(name, labels, buckets);
    sample(to, name, "_bucket", labels, Some(Number(f64::INFINITY)), all, exemplar)?;
    sample(to, name, "_count", labels, None, all, None)?;
    sample(to, name, "_sum", labels, None, histogram.get_sample_sum(), None)
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
    exemplar: Option<Exemplar>,
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
    write!(to, " {}", Number(value))?;
    if let Some(Exemplar { trace, value }) = exemplar {
        write!(to, " # {{trace_id=\"{trace}\"}} {}", Number(value))?;
    }
    writeln!(to)
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

    use super::{Exemplar, encode};
    use crate::model::TraceId;

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
            r#"took_seconds_bucket{op="x",le="+Inf"} 2.0 # {trace_id="000000000000000000000000000000ab"} 2.0"#,
            r#"took_seconds_count{op="x"} 2.0"#,
            r#"took_seconds_sum{op="x"} 2.5"#,
            "# EOF",
            "",
        ];
        let exemplar = Exemplar { trace: TraceId(0xAB), value: 2.0 };
        let text = encode(&registry.gather(), &|name, labels, bucket| {
            let of = (name, labels[0].value(), bucket);
            (of == ("took_seconds", "x", 2)).then_some(exemplar)
        });
        assert_eq!(text, expected.join("\n"));
    }
}
