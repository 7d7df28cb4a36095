//! The dashboards as documents: that any Grafana can import them, and that every panel says what it must.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tokio::process::Command;

use super::{DASHBOARDS, dashboard, panels, path, targets, text};
use crate::harness::command::run;

/// What an operator asks, in that order.
const QUESTIONS: [&str; 5] = [
    "Are we coherent?",
    "Are we fast?",
    "Is the origin safe?",
    "Are writes draining?",
    "Is every task alive?",
];
/// Grafana's grid.
const COLUMNS: u64 = 24;

/// The faults that `judge` finds, of each dashboard and panel.
fn faults(judge: impl Fn(&Value) -> Vec<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for name in DASHBOARDS {
        for panel in panels(&dashboard(name)) {
            let title = text(&panel, "title").to_owned();
            faults.extend(judge(&panel).into_iter().map(|fault| format!("{name}: {title}: {fault}")));
        }
    }
    faults
}

#[tokio::test]
async fn they_are_what_the_script_writes() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let script = format!("{}/scripts/dashboards", env!("CARGO_MANIFEST_DIR"));
    let ran = run(Command::new("python3").arg(script).arg(folder.path()), b"").await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for name in DASHBOARDS {
        let file = format!("{name}.json");
        let made = fs::read_to_string(folder.path().join(&file)).expect("it was written");
        assert!(made == super::read(&file), "{file} is not what scripts/dashboards writes: run it");
    }
}

#[test]
fn they_can_be_imported_and_provisioned_as_they_are() {
    for name in DASHBOARDS {
        let made = dashboard(name);
        assert_eq!(
            (&made["id"], text(&made, "uid")),
            (&Value::Null, name),
            "a database's own number is none of ours"
        );
        assert!(made.get("__inputs").is_none(), "{name}: asks for something that provisioning cannot answer");
        assert!(39 <= made["schemaVersion"].as_u64().expect("a number"), "{name}: older than Grafana 11");
        let variables = made["templating"]["list"].as_array().expect("variables");
        let kinds: Vec<_> = variables.iter().map(|it| (text(it, "name"), text(it, "type"))).collect();
        let others = ["cluster", "instance", "namespace"].map(|it| (it, "query"));
        assert_eq!(kinds[0], ("datasource", "datasource"), "{name}");
        assert_eq!(kinds[1..], others, "{name}");
        for variable in &variables[1..] {
            // Without a label `cluster` everything is one cluster, and only `.*` finds that.
            assert!(variable["multi"] == false || variable["allValue"] == ".*", "{name}: {variable}");
        }
    }
}

#[test]
fn no_data_source_is_named_but_by_the_variable() {
    fn sources<'a>(of: &'a Value, found: &mut Vec<&'a Value>) {
        match of {
            Value::Object(fields) => {
                found.extend(fields.get("datasource"));
                fields.values().for_each(|it| sources(it, found));
            }
            Value::Array(items) => items.iter().for_each(|it| sources(it, found)),
            _ => {}
        }
    }
    for name in DASHBOARDS {
        let made = dashboard(name);
        let mut found = Vec::new();
        sources(&made, &mut found);
        assert!(panels(&made).len() < found.len(), "{name}: panels and their queries have one each");
        let wanted = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
        assert!(found.iter().all(|it| **it == wanted), "{name}: {found:?}");
    }
}

#[test]
fn rows_are_the_questions_of_an_operator_and_panels_lie_side_by_side() {
    for name in DASHBOARDS {
        let made = dashboard(name);
        let all = made["panels"].as_array().expect("panels");
        let rows: Vec<_> = all.iter().filter(|it| it["type"] == "row").map(|it| text(it, "title")).collect();
        assert_eq!(rows, QUESTIONS, "{name}");
        let mut taken = BTreeSet::new();
        let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
        for panel in all {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{name}: {title} has another's id");
            assert!(titles.insert(title), "{name}: two panels are called {title}");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().expect("a number"));
            assert!(x + w <= COLUMNS, "{name}: {title} is too wide");
            let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
            assert!(cells.into_iter().all(|cell| taken.insert(cell)), "{name}: {title} covers another");
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_what_is_good_and_in_which_unit() {
    let faults = faults(|panel| {
        let defaults = &panel["fieldConfig"]["defaults"];
        let checks = [
            (text(panel, "description").contains("Good: "), "does not say what is good"),
            (!text(defaults, "unit").is_empty(), "has no unit"),
            (
                defaults["thresholds"]["steps"][0]["value"].is_null(),
                "has no colour below the first threshold",
            ),
            (
                text(panel, "title").chars().next().is_some_and(char::is_uppercase),
                "has a title in small letters",
            ),
        ];
        let mut faults: Vec<_> = checks.iter().filter(|it| !it.0).map(|it| it.1.to_owned()).collect();
        let legend = &panel["options"]["legend"];
        if panel["type"] == "timeseries" && legend["showLegend"] != true {
            faults.push("has no legend".to_owned());
        }
        faults
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_query_is_of_what_was_chosen_and_counters_are_rates() {
    let faults = faults(|panel| {
        let mut faults = Vec::new();
        let mut letters = BTreeSet::new();
        for target in targets(panel) {
            let expr = text(&target, "expr");
            let mut fault = |fault: &str| faults.push(format!("{fault}: {expr}"));
            if !letters.insert(text(&target, "refId").to_owned()) {
                fault("two queries share a letter");
            }
            if panel["type"] != "table" && text(&target, "legendFormat").is_empty() {
                fault("a legend that Grafana makes up");
            }
            if !expr.contains(r#"cluster=~"$cluster""#) || !expr.contains("$instance") {
                fault("not of the chosen instances");
            }
            // A fixed window is empty where scrapes are rare, and hides peaks where they are not.
            let windows = expr.matches('[').count();
            let chosen =
                ["[$__rate_interval]", "[$__range]"].iter().map(|it| expr.matches(it).count()).sum::<usize>();
            if windows != chosen {
                fault("a window of its own");
            }
            for (at, _) in expr.match_indices("_total{") {
                let before = expr[..at].rsplit(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).nth(1);
                if !matches!(before, Some("rate" | "increase")) {
                    fault("a counter that is shown as it is");
                }
            }
        }
        faults
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn there_is_nothing_in_the_folder_that_no_test_knows() {
    let names = fs::read_dir(path("")).expect("the folder can be read");
    let names: BTreeSet<_> =
        names.map(|it| it.expect("an entry").file_name().into_string().expect("a plain name")).collect();
    let known = [
        "RUNBOOK.md",
        "alerts.yml",
        "alerts_test.yml",
        "coherd-instance.json",
        "coherd-overview.json",
        "status-page.png",
    ];
    assert_eq!(names, known.map(str::to_owned).into());
}
