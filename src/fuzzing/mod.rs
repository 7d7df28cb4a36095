//! One door to every decoder that reads what nobody vouches for: for the fuzzers of `fuzz/` and for the test that replays
//! their corpus. No part of what the crate offers.
//!
//! Each function reads the bytes as its decoder would find them, and panics where something that must always hold does
//! not: what is read again is the same, what was refused changes nothing, no limit is passed.

mod carried;
mod model;

use crate::backend::{valkey::fuzzing as valkey, wire::fuzzing as wire};
use crate::cache::fuzzing as cache;
use crate::cli::fuzzing as cli;
use crate::coherence::form::fuzzing as form;
use crate::http::fuzzing as http;

/// A decoder with all that holds of it.
pub type Target = fn(&[u8]);

/// Every target: its name in `fuzz/`, and what it does with the bytes.
pub const TARGETS: [(&str, Target); 24] = [
    ("answer", carried::answer),
    ("announcement", valkey::announcement),
    ("backend_url", carried::backend_url),
    ("bulk_body", http::bulk_body),
    ("cache_control", model::cache_control),
    ("config_file", crate::config::fuzzing::file),
    ("config_set", carried::config_set),
    ("envelope", wire::envelope),
    ("event_fields", carried::event_fields),
    ("event_json", form::json),
    ("event_msgpack", form::msgpack),
    ("event_request", carried::event_request),
    ("http_connection", http::connection),
    ("lease_token", cache::lease_token),
    ("log_entry", carried::log_entry),
    ("log_id", model::log_id),
    ("names", valkey::names),
    ("origin_answer", carried::origin_answer),
    ("origin_target", carried::origin_target),
    ("request_headers", carried::request_headers),
    ("resp", valkey::frames),
    ("route", carried::route),
    ("server_sent_events", cli::server_sent_events),
    ("tags", model::tags),
];

/// Gives `bytes` to the target of that name.
///
/// # Panics
///
/// If there is none, or something does not hold.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(bytes);
}
