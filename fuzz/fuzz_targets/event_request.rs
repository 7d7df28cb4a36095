//! `POST /v1/invalidate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("event_request", bytes));
