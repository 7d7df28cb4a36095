//! What a server answers to the backend.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("answer", bytes));
