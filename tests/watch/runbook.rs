//! The rules as documents: what each alert must say, where the runbook goes on, and their own tests.

use std::collections::BTreeSet;

use tokio::process::Command;

use super::prometheus::program;
use super::rules::{names, rule};
use super::{path, read};
use crate::harness::command::run;

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() {
    let names = names();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>().len(),
        names.len(),
        "two alerts share a name: {names:?}"
    );
    for name in names {
        let rule = rule(&name);
        for field in ["expr: ", "severity: ", "summary: \"", "description: \"", "runbook: \""] {
            assert_eq!(rule.matches(field).count(), 1, "{name} has no {field}, or two");
        }
        assert!(rule.contains("severity: critical\n") || rule.contains("severity: warning\n"), "{name}");
        let url = format!("runbook_url: \"dashboards/RUNBOOK.md#{}\"", name.to_lowercase());
        assert!(rule.contains(&url), "{name} has no {url}");
    }
}

#[test]
fn the_runbook_has_a_section_for_each_alert_and_for_none_that_is_not() {
    let runbook = read("RUNBOOK.md");
    let sections: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("### Coherd")).collect();
    let wanted: Vec<_> = names().iter().map(|name| name.replace("Coherd", "")).collect();
    assert_eq!(sections, wanted);
    for section in runbook.split("\n### ").skip(1) {
        for part in ["**Means**", "**Look at**", "**Do**"] {
            assert!(section.contains(part), "no {part} under {}", section.lines().next().unwrap_or_default());
        }
    }
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let tests = read("alerts_test.yml");
    for name in names() {
        let (_, test) =
            tests.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("{name} has none"));
        let test = test.split("- name: ").next().unwrap_or_default();
        assert!(test.contains("exp_samples: []") && test.contains("            value: 1"), "{name}:\n{test}");
        let about = format!(r#"alertname="{name}",alertstate="firing""#);
        assert_eq!(test.matches("expr: ").count(), test.matches(&about).count(), "{name} tests another");
    }
}

#[tokio::test]
async fn promtool_finds_no_fault_in_the_rules_and_their_tests_pass() {
    for (word, file) in [("check", "alerts.yml"), ("test", "alerts_test.yml")] {
        let ran = run(Command::new(program("promtool")).args([word, "rules"]).arg(path(file)), b"").await;
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        assert!(ran.out.contains("SUCCESS"), "{}", ran.out);
    }
}
