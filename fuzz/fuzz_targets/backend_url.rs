//! `backend.url`, by the configuration and by the backend.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("backend_url", bytes));
