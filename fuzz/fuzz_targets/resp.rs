//! What a server sends over a connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("resp", bytes));
