//! What a scrape must show.

use std::collections::BTreeMap;

use super::Metrics;
use crate::telemetry::labels::{EventPath, RequestResult, TargetKind};

/// Every family that the README and dashboards name, with its labels.
const FAMILIES: &[(&str, &str)] = &[
    ("coherd_requests_total", "namespace,result"),
    ("coherd_request_duration_seconds", "result"),
    ("coherd_l1_entries", "namespace"),
    ("coherd_l1_bytes", "namespace"),
    ("coherd_l1_evictions_total", "cause,namespace"),
    ("coherd_origin_requests_total", "namespace,outcome"),
    ("coherd_origin_duration_seconds", "namespace"),
    ("coherd_backend_duration_seconds", "op"),
    ("coherd_backend_errors_total", "op"),
    ("coherd_backend_warnings", ""),
    ("coherd_invalidations_published_total", "source"),
    ("coherd_invalidations_applied_total", "kind,path"),
    ("coherd_invalidation_lag_seconds", ""),
    ("coherd_log_lag_events", ""),
    ("coherd_attached", ""),
    ("coherd_staleness_seconds", ""),
    ("coherd_fills_rejected_total", "cause,namespace"),
    ("coherd_gaps_total", "cause"),
    ("coherd_resyncs_total", "cause"),
    ("coherd_lease_remaining_seconds", ""),
    ("coherd_joiner_retries_total", ""),
    ("coherd_false_stale_total", ""),
    ("coherd_wait_all_seconds", "mode"),
    ("coherd_refreshes_total", "namespace,outcome"),
    ("coherd_refreshes_waiting", "namespace"),
    ("coherd_lease_waits_total", "outcome"),
    ("coherd_events_rejected_total", "reason"),
    ("coherd_write_behind_pending", ""),
    ("coherd_write_behind_pending_max", ""),
    ("coherd_write_behind_oldest_seconds", ""),
    ("coherd_write_behind_applied_total", "outcome"),
    ("coherd_write_behind_dead", ""),
    ("coherd_breaker_state", "target"),
    ("coherd_rate_limited_total", "namespace"),
    ("coherd_rate_limit_fallbacks_total", "namespace"),
    ("coherd_task_up", "task"),
    ("coherd_task_restarts_total", "task"),
    ("coherd_task_panics_total", "task"),
    ("coherd_task_overruns_total", "task"),
    ("coherd_coherence_checks_total", "result"),
    ("coherd_trace_spans_exported_total", ""),
    ("coherd_trace_spans_dropped_total", ""),
    ("coherd_members", ""),
    ("coherd_build_info", "revision,version"),
];

fn metrics() -> Metrics {
    Metrics::new(&["users".to_owned()], "1.2.3", "abc").unwrap()
}

#[test]
fn every_family_is_there_at_zero_from_the_first_scrape() {
    let metrics = metrics();
    metrics.tasks.task("tail");
    let mut found = BTreeMap::new();
    for family in metrics.registry.gather() {
        for metric in family.get_metric() {
            let labels: Vec<_> = metric.get_label().iter().map(|label| label.name().to_owned()).collect();
            found.insert(family.name().to_owned(), labels.join(","));
            let value = metric.get_counter().get_value()
                + metric.get_gauge().get_value()
                + metric.get_histogram().get_sample_sum();
            if family.name().starts_with("coherd_") && family.name() != "coherd_build_info" {
                assert!(value.abs() < f64::EPSILON, "{} is {value}", family.name());
            }
        }
    }
    assert!(found.remove("process_resident_memory_bytes").is_some());
    found.retain(|name, _| !name.starts_with("process_"));
    let expected: BTreeMap<_, _> =
        FAMILIES.iter().map(|(name, labels)| ((*name).to_owned(), (*labels).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_count_shows_under_its_labels() {
    let metrics = metrics();
    let users = metrics.namespace("users");
    users.answered(RequestResult::Collapsed, std::time::Duration::from_millis(3), None);
    metrics.coherence.applied.of(TargetKind::Tag).of(EventPath::Stream).inc();
    assert_eq!(metrics.namespace("users").requests.total(), 1, "the same children each time");

    let text = metrics.text();
    for line in [
        r#"coherd_requests_total{namespace="users",result="collapsed"} 1"#,
        r#"coherd_requests_total{namespace="users",result="l1"} 0"#,
        r#"coherd_request_duration_seconds_bucket{result="collapsed",le="0.0025"} 0"#,
        r#"coherd_request_duration_seconds_bucket{result="collapsed",le="0.005"} 1"#,
        r#"coherd_invalidations_applied_total{kind="tag",path="stream"} 1"#,
        r#"coherd_build_info{revision="abc",version="1.2.3"} 1"#,
    ] {
        assert!(text.lines().any(|it| it == line), "no `{line}` in\n{text}");
    }
}

#[test]
fn openmetrics_is_one_block_per_family_and_ends() {
    let text = metrics().openmetrics();
    let body = text.strip_suffix("# EOF\n").unwrap();
    let mut family = ("", "");
    let mut seen = Vec::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split_once(' ').unwrap();
            assert!(!seen.contains(&family.0), "{} comes twice", family.0);
            seen.push(family.0);
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.starts_with(&format!("{} ", family.0)), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let suffixes: &[&str] = match family.1 {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_count", "_sum"],
                other => panic!("type {other}"),
            };
            assert!(suffixes.iter().any(|it| *name == format!("{}{it}", family.0)), "{line}");
            value.parse::<f64>().unwrap();
        }
    }
    assert!(seen.contains(&"coherd_requests"), "{seen:?}");
}
