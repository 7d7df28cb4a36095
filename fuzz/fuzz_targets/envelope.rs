//! An L2 envelope.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("envelope", bytes));
