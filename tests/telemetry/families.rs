//! Every family that operators are promised, with its labels, at zero, from the first scrape of an instance.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::http::Client;
use crate::harness::instance::{Cluster, Config, Instance, NAMESPACE, Setup};

/// A label and its values: the cluster's own are written as they are set up here.
type Values = (&'static str, &'static [&'static str]);

const NS: Values = ("namespace", &[NAMESPACE]);
const RESULTS: Values =
    ("result", &["l1", "l2", "stale", "negative", "miss", "collapsed", "bypass", "rejected", "error"]);
const OPS: Values = (
    "op",
    &[
        "peek",
        "lookup",
        "fill",
        "release",
        "publish",
        "beat",
        "confirm",
        "head",
        "read_log",
        "members",
        "forget",
        "subscribe",
        "admit",
        "lock",
        "extend",
        "unlock",
        "hot",
        "inbox",
        "take_writes",
        "settle_writes",
        "backlog",
    ],
);
const REASONS: Values = (
    "reason",
    &[
        "malformed",
        "too_large",
        "unknown_field",
        "no_target",
        "too_many_targets",
        "bad_namespace",
        "bad_key",
        "bad_prefix",
        "bad_tag",
        "bad_request_id",
        "overloaded",
        "unavailable",
    ],
);
/// Of labels whose values are not the same for every instance, one that there must be.
const TASKS: Values = ("task", &["coherence.tail"]);
const TARGETS: Values = ("target", &["backend", "origin:things"]);

/// Families, their types, their labels.
const PROMISED: &[(&str, &str, &[Values])] = &[
    ("coherd_requests_total", "counter", &[NS, RESULTS]),
    ("coherd_request_duration_seconds", "histogram", &[RESULTS]),
    ("coherd_l1_entries", "gauge", &[NS]),
    ("coherd_l1_bytes", "gauge", &[NS]),
    ("coherd_l1_evictions_total", "counter", &[NS, ("cause", &["size", "expired", "replaced", "explicit"])]),
    (
        "coherd_origin_requests_total",
        "counter",
        &[NS, ("outcome", &["ok", "absent", "not_modified", "error", "timeout", "overloaded"])],
    ),
    ("coherd_origin_duration_seconds", "histogram", &[NS]),
    ("coherd_backend_duration_seconds", "histogram", &[OPS]),
    ("coherd_backend_errors_total", "counter", &[OPS]),
    (
        "coherd_invalidations_published_total",
        "counter",
        &[(
            "source",
            &[
                "http",
                "purge",
                "fcall",
                "inbox",
                "pubsub",
                "write",
                "tracking",
                "cloudevents",
                "postgres",
                "debezium",
            ],
        )],
    ),
    (
        "coherd_invalidations_applied_total",
        "counter",
        &[
            ("kind", &["key", "tag", "prefix", "namespace", "all"]),
            ("path", &["stream", "pubsub", "tracking"]),
        ],
    ),
    ("coherd_invalidation_lag_seconds", "histogram", &[]),
    ("coherd_log_lag_events", "gauge", &[]),
    ("coherd_attached", "gauge", &[]),
    ("coherd_staleness_seconds", "gauge", &[]),
    (
        "coherd_fills_rejected_total",
        "counter",
        &[NS, ("cause", &["lease_lost", "lineage", "stale", "dirty"])],
    ),
    (
        "coherd_gaps_total",
        "counter",
        &[("cause", &["sequence", "lagged", "reconnect", "heartbeat", "trimmed"])],
    ),
    ("coherd_resyncs_total", "counter", &[("cause", &["lineage", "fork"])]),
    ("coherd_lease_remaining_seconds", "gauge", &[]),
    ("coherd_joiner_retries_total", "counter", &[]),
    ("coherd_false_stale_total", "counter", &[]),
    ("coherd_wait_all_seconds", "histogram", &[("mode", &["early", "late", "timed_out"])]),
    (
        "coherd_refreshes_total",
        "counter",
        &[NS, ("outcome", &["stored", "not_modified", "rejected", "busy", "failed", "dropped"])],
    ),
    ("coherd_lease_waits_total", "counter", &[("outcome", &["woken", "expired", "timed_out"])]),
    ("coherd_events_rejected_total", "counter", &[REASONS]),
    ("coherd_write_behind_pending", "gauge", &[]),
    ("coherd_write_behind_oldest_seconds", "gauge", &[]),
    (
        "coherd_write_behind_applied_total",
        "counter",
        &[("outcome", &["applied", "superseded", "retried", "dead"])],
    ),
    ("coherd_write_behind_dead", "gauge", &[]),
    ("coherd_breaker_state", "gauge", &[TARGETS]),
    ("coherd_rate_limited_total", "counter", &[NS]),
    ("coherd_task_up", "gauge", &[TASKS]),
    ("coherd_task_restarts_total", "counter", &[TASKS]),
    ("coherd_coherence_checks_total", "counter", &[("result", CHECKS)]),
    ("coherd_members", "gauge", &[]),
    ("coherd_build_info", "gauge", &[("version", &[env!("CARGO_PKG_VERSION")]), ("revision", &[])]),
    ("process_cpu_seconds_total", "counter", &[]),
    ("process_open_fds", "gauge", &[]),
    ("process_resident_memory_bytes", "gauge", &[]),
    ("process_start_time_seconds", "gauge", &[]),
];

const CHECKS: &[&str] = &["ok", "stale_in_bound", "violation", "origin_differs", "inconclusive"];

/// What an instance is doing all the time: these are not zero.
const BUSY: &[&str] = &[
    "coherd_backend_duration_seconds",
    // A server that is not there yet when it is first asked.
    "coherd_backend_errors_total",
    "coherd_gaps_total",
    "coherd_attached",
    "coherd_staleness_seconds",
    "coherd_lease_remaining_seconds",
    "coherd_task_up",
    "coherd_members",
    "coherd_build_info",
];

/// Labels and a value.
type Series = (BTreeMap<String, String>, f64);

/// A page, taken apart by hand: what is not as the standard has it is a panic.
#[derive(Default)]
struct Page {
    types: BTreeMap<String, String>,
    helped: BTreeSet<String>,
    /// The series of each family, its suffixes left off, and their values.
    series: BTreeMap<String, Vec<Series>>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a name");
                assert_eq!(page.types.insert(name.to_owned(), kind.to_owned()), None, "{name} comes twice");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help has a name");
                assert!(help.len() > 10, "{line}");
                page.helped.insert(name.to_owned());
            } else if line != "# EOF" {
                page.sample(line);
            }
        }
        page
    }

    fn sample(&mut self, line: &str) {
        // An exemplar is none of the sample.
        let line = line.split(" # ").next().unwrap_or(line);
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line:?}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number in {line:?}"));
        let (name, labels) = match sample.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end")),
            None => (sample, ""),
        };
        let mut found = BTreeMap::new();
        // No value here holds a comma.
        for label in labels.split(',').filter(|it| !it.is_empty()) {
            let (label, value) = label.split_once('=').expect("a label has a value");
            found.insert(label.to_owned(), value.trim_matches('"').to_owned());
        }
        found.remove("le");
        self.series.entry(name.to_owned()).or_default().push((found, value));
    }

    fn values(&self, series: &str, label: &str) -> BTreeSet<&str> {
        let series = self.series.get(series).unwrap_or_else(|| panic!("no series {series}"));
        series.iter().filter_map(|(labels, _)| labels.get(label).map(String::as_str)).collect()
    }
}

fn holds(page: &Page, openmetrics: bool) {
    for (name, kind, labels) in PROMISED {
        let family = if openmetrics { name.strip_suffix("_total").unwrap_or(name) } else { name };
        assert_eq!(page.types.get(family).map(String::as_str), Some(*kind), "{family}");
        assert!(page.helped.contains(family), "{family}");
        let suffixes: &[&str] = if *kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        for suffix in suffixes {
            let series = format!("{name}{suffix}");
            for (found, value) in &page.series[&series] {
                let expected: BTreeSet<_> = labels.iter().map(|(label, _)| *label).collect();
                assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{series}");
                if name.starts_with("coherd_") && !BUSY.contains(name) {
                    assert!(value.abs() < f64::EPSILON, "{series} {found:?} is {value}");
                }
            }
            for (label, values) in *labels {
                let found = page.values(&series, label);
                let values: BTreeSet<_> = values.iter().copied().collect();
                if [TASKS.0, TARGETS.0, "revision"].contains(label) {
                    assert!(found.is_superset(&values) && !found.is_empty(), "{series}: {found:?}");
                } else {
                    assert_eq!(found, values, "{series}");
                }
            }
            let combinations: usize =
                labels.iter().map(|(label, _)| page.values(&series, label).len()).product();
            let distinct: BTreeSet<_> = page.series[&series].iter().map(|(labels, _)| labels).collect();
            assert_eq!(distinct.len(), combinations, "{series} has not a series for every combination");
        }
    }
}

async fn scrape(instance: &Instance, openmetrics: bool) -> String {
    let accept = if openmetrics { "application/openmetrics-text; version=1.0.0" } else { "text/plain" };
    let page = Client::new().get(&instance.admin_url("/metrics")).header("accept", accept).send().await;
    let kind = page.header("content-type").expect("a page has a type").to_owned();
    assert_eq!(kind.starts_with("application/openmetrics-text; version=1.0.0"), openmetrics, "{kind}");
    page.text()
}

#[tokio::test]
async fn every_promised_family_is_there_with_all_its_labels_from_the_first_scrape() {
    let cluster = Cluster::with(Setup::new(1)).await;
    for openmetrics in [false, true] {
        let text = scrape(cluster.instance(0), openmetrics).await;
        assert_eq!(text.ends_with("# EOF\n"), openmetrics);
        holds(&Page::read(&text), openmetrics);
    }
}

#[tokio::test]
async fn they_are_there_without_a_server_too() {
    let mut config =
        Config::new("alone", "valkey://127.0.0.1:1").namespace(NAMESPACE, "http://127.0.0.1:1/{key}");
    config = config.set("coherence.start_detached_after", "100ms");
    let instance = Instance::start(config).await;
    let page = Page::read(&scrape(&instance, false).await);
    holds(&page, false);
    assert_eq!(page.series["coherd_attached"], [(BTreeMap::new(), 0.0)]);
}
