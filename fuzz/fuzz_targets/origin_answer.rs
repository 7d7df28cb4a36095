//! The header of an origin's answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("origin_answer", bytes));
