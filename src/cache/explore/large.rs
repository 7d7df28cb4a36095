//! Larger worlds, for `make explore`: whole, or as far as `EXPLORE_STATES` goes.

use super::config::{Config, Faults};
use super::search::explore;

/// How many states of each, unless `EXPLORE_STATES` says otherwise.
const STATES_MAX: usize = 3_000_000;

/// Everything slow, three readers.
const SLOW: Config = Config { readers: &[0, 0, 1], slow_network: true, slow_origin: true, ..Config::PLAIN };

fn holds(config: &'static Config) {
    let states_max = std::env::var("EXPLORE_STATES").map_or(STATES_MAX, |text| text.parse().unwrap());
    let found = explore(config, states_max);
    assert!(found.violation.is_none(), "{config:?}: {found}");
}

macro_rules! large {
    ($($name:ident: $config:expr;)*) => {$(
        #[test]
        #[ignore = "minutes: `make explore`"]
        fn $name() {
            static CONFIG: Config = $config;
            holds(&CONFIG);
        }
    )*};
}

large! {
    three_readers: SLOW;
    three_readers_cut_off: Config { faults: Faults { cuts: 1, ..Faults::NONE }, ..SLOW };
    three_readers_flush: Config { faults: Faults { flushes: 1, ..Faults::NONE }, ..SLOW };
    three_readers_old_dump: Config { faults: Faults { restores: 1, ..Faults::NONE }, ..SLOW };
    joiners_old_dump: Config {
        readers: &[1, 1, 1],
        faults: Faults { restores: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    two_writes_cut_off: Config {
        readers: &[0, 1],
        writers: &[(0, 2)],
        faults: Faults { cuts: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    two_writes_flush: Config {
        readers: &[0, 1],
        writers: &[(0, 2)],
        faults: Faults { flushes: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    two_writes_old_dump: Config {
        readers: &[1],
        writers: &[(0, 2)],
        faults: Faults { restores: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    two_writers_two_readers: Config { readers: &[0, 1], writers: &[(0, 1), (1, 1)], ..Config::PLAIN };
    something_else_and_trimmed: Config {
        readers: &[1],
        faults: Faults { trims: 1, others: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    something_else_lost_and_trimmed: Config {
        readers: &[0, 1],
        faults: Faults { losses: 1, trims: 1, others: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    two_faults: Config {
        readers: &[1, 1],
        faults: Faults { cuts: 1, flushes: 1, ..Faults::NONE },
        ..Config::PLAIN
    };
    every_fault: Config {
        readers: &[1],
        faults: Faults { cuts: 1, losses: 1, flushes: 1, restores: 1, trims: 1, expiries: 1, others: 1 },
        ..Config::PLAIN
    };
}
