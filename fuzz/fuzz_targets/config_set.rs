//! `--set` and the environment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("config_set", bytes));
