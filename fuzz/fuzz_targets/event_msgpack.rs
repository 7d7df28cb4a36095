//! An event as MessagePack.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coherd::fuzzing::run("event_msgpack", bytes));
