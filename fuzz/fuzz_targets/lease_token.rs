//! `Coherd-Lease`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("lease_token", bytes));
