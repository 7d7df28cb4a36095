//! The same worlds with a part of the protocol left out: each time the explorer finds the way to a broken promise.

use super::config::{Config, Faults, Weakness};
use super::search::explore;

/// The way is found before so many states.
const STATES_MAX: usize = 300_000;

fn fails(config: &'static Config) {
    let found = explore(config, STATES_MAX);
    assert!(found.violation.is_some(), "{config:?}: {found}");
}

#[test]
fn a_token_taken_at_the_end_of_the_load() {
    static CONFIG: Config = Config { readers: &[1], weak: &[Weakness::TokenAtEnd], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn copies_deleted_on_events_and_not_judged() {
    static CONFIG: Config = Config { readers: &[1], weak: &[Weakness::BlindL1], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn delete_and_publish_without_any_fence() {
    static CONFIG: Config =
        Config { readers: &[1], weak: &[Weakness::TokenAtEnd, Weakness::BlindL1], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn joiners_that_use_whatever_comes() {
    static CONFIG: Config = Config { readers: &[1, 1], weak: &[Weakness::UnfencedJoiners], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn members_of_a_lineage_that_has_just_begun() {
    static CONFIG: Config = Config {
        readers: &[1],
        faults: Faults { flushes: 1, ..Faults::NONE },
        weak: &[Weakness::YoungMembers],
        ..Config::PLAIN
    };
    fails(&CONFIG);
}

#[test]
fn an_old_dump_without_a_handshake() {
    static CONFIG: Config = Config {
        readers: &[1],
        writers: &[(0, 2)],
        faults: Faults { restores: 1, ..Faults::NONE },
        weak: &[Weakness::NoIdentity],
        ..Config::PLAIN
    };
    fails(&CONFIG);
}

#[test]
fn an_acknowledgement_right_after_the_append() {
    static CONFIG: Config = Config { readers: &[1], weak: &[Weakness::AckAtAppend], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn a_wait_that_counts_from_its_start() {
    static CONFIG: Config = Config { readers: &[1], weak: &[Weakness::LateFromStart], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn a_lease_that_counts_from_the_answer() {
    static CONFIG: Config =
        Config { readers: &[1], slow_network: true, weak: &[Weakness::LeaseFromAnswer], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn proof_before_its_events_are_applied() {
    static CONFIG: Config = Config { readers: &[1], weak: &[Weakness::ProofBeforeEvents], ..Config::PLAIN };
    fails(&CONFIG);
}

#[test]
fn a_confirmation_of_what_is_not_applied() {
    static CONFIG: Config = Config {
        readers: &[1],
        faults: Faults { losses: 1, others: 1, ..Faults::NONE },
        weak: &[Weakness::ConfirmBeforeApply],
        ..Config::PLAIN
    };
    fails(&CONFIG);
}
