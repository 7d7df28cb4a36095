//! The alert rules as a text: their names, and the same rules for a hurried world.

use std::fmt::Write as _;

use super::read;

/// A minute of the rules is a second of a test.
pub(super) const FASTER: u64 = 60;

/// The rules as they are kept.
pub(super) fn rules() -> String {
    read("alerts.yml")
}

/// The names of all alerts.
pub(super) fn names() -> Vec<String> {
    let name = |line: &str| line.trim_start().strip_prefix("- alert: ").map(str::to_owned);
    rules().lines().filter_map(name).collect()
}

/// The text of one alert.
pub(super) fn rule(name: &str) -> String {
    let rules = rules();
    let (_, from) = rules.split_once(&format!("- alert: {name}\n")).expect("an alert has a rule");
    from.split("- alert: ").next().unwrap_or_default().to_owned()
}

/// The rules with every duration divided by [`FASTER`]: what stands after `for:`, after `offset`, and in brackets.
/// Nothing else is changed, no threshold above all.
pub(super) fn faster(rules: &str) -> String {
    let mut hurried = String::new();
    let mut rest = rules;
    while let Some(at) =
        ["for: ", "offset ", "["].iter().filter_map(|it| Some(rest.find(it)? + it.len())).min()
    {
        let (before, after) = rest.split_at(at);
        hurried.push_str(before);
        rest = after;
        let digits = rest.len() - rest.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        let unit = rest[digits..].chars().next().and_then(|unit| match unit {
            's' => Some(1_000),
            'm' => Some(60_000),
            'h' => Some(3_600_000),
            _ => None,
        });
        if let (Ok(number), Some(unit)) = (rest[..digits].parse::<u64>(), unit) {
            write!(hurried, "{}ms", number * unit / FASTER).expect("a string takes whatever is written");
            rest = &rest[digits + 1..];
        }
    }
    hurried + rest
}

#[test]
fn only_durations_are_hurried() {
    let slow = "expr: a[5m] > 60 and b[10m] offset 30m\nfor: 30s\nsummary: waits for: nothing [1]";
    let quick =
        "expr: a[5000ms] > 60 and b[10000ms] offset 30000ms\nfor: 500ms\nsummary: waits for: nothing [1]";
    assert_eq!(faster(slow), quick);
    let rules = rules();
    let units = faster(&rules).matches("ms").count();
    assert!(names().len() < units, "each alert has a duration, or nearly: {units}");
}
