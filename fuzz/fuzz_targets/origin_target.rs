//! A URL template and a key.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("origin_target", bytes));
