//! The body of a bulk read.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("bulk_body", bytes));
