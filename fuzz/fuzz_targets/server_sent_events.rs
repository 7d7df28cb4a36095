//! What an instance streams to `coherd tail`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("server_sent_events", bytes));
