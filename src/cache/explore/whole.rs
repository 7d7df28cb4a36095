//! Small worlds, looked at whole: in no order of events is a promise broken.

use super::config::{Config, Faults};
use super::search::explore;

/// Beyond this a world is not small.
const STATES_MAX: usize = 400_000;

/// Looks at every state, which must include that each of `expected` happens.
fn holds(config: &'static Config, expected: &[&str]) {
    let found = explore(config, STATES_MAX);
    assert!(found.violation.is_none() && !found.cut_short, "{config:?}: {found}");
    let missing: Vec<_> = expected.iter().filter(|it| !found.met.contains(*it)).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
}

#[test]
fn joiners_on_both_instances() {
    static CONFIG: Config = Config { readers: &[0, 0, 1], ..Config::PLAIN };
    holds(
        &CONFIG,
        &[
            "event of the key",
            "event of the tag",
            "joiner answered",
            "joiner sent back",
            "early acknowledgement",
            "late acknowledgement",
        ],
    );
}

#[test]
fn a_slow_network_and_a_slow_origin() {
    static CONFIG: Config =
        Config { readers: &[1, 1], slow_network: true, slow_origin: true, ..Config::PLAIN };
    holds(
        &CONFIG,
        &["past the copies", "plain read of L2", "fill refused: lease lost", "fill refused: stale"],
    );
}

#[test]
fn writes_one_after_the_other() {
    static CONFIG: Config = Config { readers: &[1], writers: &[(0, 2)], ..Config::PLAIN };
    holds(&CONFIG, &["fill stored", "plain read of L2"]);
}

#[test]
fn writes_through_both_instances() {
    static CONFIG: Config = Config { readers: &[1], writers: &[(0, 1), (1, 1)], ..Config::PLAIN };
    holds(&CONFIG, &["early acknowledgement", "late acknowledgement"]);
}

#[test]
fn a_load_that_loses_its_lease() {
    static CONFIG: Config =
        Config { readers: &[0, 1], faults: Faults { expiries: 1, ..Faults::NONE }, ..Config::PLAIN };
    holds(&CONFIG, &["fill refused: lease lost"]);
}

#[test]
fn an_instance_cut_off() {
    static CONFIG: Config = Config {
        readers: &[1],
        faults: Faults { cuts: 1, ..Faults::NONE },
        slow_network: true,
        ..Config::PLAIN
    };
    holds(&CONFIG, &["repeated publication", "past the copies"]);
}

#[test]
fn joiners_on_an_instance_cut_off() {
    static CONFIG: Config =
        Config { readers: &[1, 1, 1], faults: Faults { cuts: 1, ..Faults::NONE }, ..Config::PLAIN };
    holds(&CONFIG, &["past the copies", "joiner answered", "joiner sent back"]);
}

#[test]
fn announcements_lost_and_a_trimmed_log() {
    static CONFIG: Config =
        Config { readers: &[1, 1], faults: Faults { losses: 1, trims: 1, ..Faults::NONE }, ..Config::PLAIN };
    holds(&CONFIG, &["events skipped", "past the copies"]);
}

#[test]
fn events_that_name_something_else() {
    static CONFIG: Config =
        Config { readers: &[1], faults: Faults { others: 1, ..Faults::NONE }, ..Config::PLAIN };
    holds(&CONFIG, &["copy proven by the script"]);
}

#[test]
fn a_server_that_loses_everything() {
    static CONFIG: Config =
        Config { readers: &[1, 1, 1], faults: Faults { flushes: 1, ..Faults::NONE }, ..Config::PLAIN };
    holds(&CONFIG, &["lineage begun", "fill refused: lease lost", "joiner answered", "joiner sent back"]);
}

#[test]
fn a_server_that_loses_everything_and_whose_clock_stands_still() {
    static CONFIG: Config = Config {
        readers: &[1],
        clock_stands: true,
        faults: Faults { flushes: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    holds(&CONFIG, &["lineage far ahead"]);
}

#[test]
fn a_server_that_comes_back_with_older_data() {
    static CONFIG: Config =
        Config { readers: &[1], faults: Faults { restores: 1, ..Faults::NONE }, ..Config::PLAIN };
    holds(&CONFIG, &["lineage begun", "fill refused: lineage"]);
}

#[test]
fn a_server_that_comes_back_with_older_data_and_an_older_clock() {
    static CONFIG: Config = Config {
        readers: &[1],
        clock_stands: true,
        faults: Faults { restores: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    holds(&CONFIG, &["lineage far ahead", "fill refused: lineage"]);
}
