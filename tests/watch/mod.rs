//! Dashboards and alert rules: what they show is there, and what they warn of makes them warn, as a real Prometheus sees it.

mod alerts;
mod documents;
mod failing;
mod panels;
mod prometheus;
mod queries;
mod rules;
mod runbook;

use std::path::PathBuf;

use serde_json::Value;

/// The dashboards, by the names of their files.
const DASHBOARDS: [&str; 2] = ["coherd-overview", "coherd-instance"];

/// A file of the folder that users import.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("{name}.json"))).expect("a dashboard is JSON")
}

/// The panels that have queries: all but the rows' titles.
fn panels(dashboard: &Value) -> Vec<Value> {
    let panels = dashboard["panels"].as_array().expect("a dashboard has panels");
    panels.iter().filter(|panel| panel["type"] != "row").cloned().collect()
}

/// The queries of a panel.
fn targets(panel: &Value) -> Vec<Value> {
    panel["targets"].as_array().expect("a panel has queries").clone()
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {of}"))
}
