//! Events from anywhere: see [`crate::fuzzing`].

use super::render::forms;
use super::{FormError, from_fields, from_json, from_message, from_msgpack, render, within_size};
use crate::coherence::Path;
use crate::model::{Event, LogId};

/// The JSON form.
pub(crate) fn json(bytes: &[u8]) {
    check(from_json(bytes));
}

/// The MessagePack form, and a message that does not say which form it has.
pub(crate) fn msgpack(bytes: &[u8]) {
    check(from_msgpack(bytes));
    check(from_message(bytes));
}

/// The list of fields.
pub(crate) fn fields(fields: &[(&[u8], &[u8])]) {
    check(from_fields(fields.iter().copied()));
}

fn check(read: Result<Event, FormError>) {
    let event = match read {
        Ok(event) => event,
        Err(error) => {
            assert!(FormError::REASONS.contains(&error.reason()));
            assert!(error.to_string().len() < 2048, "a refusal repeats no more than a few lines");
            return;
        }
    };
    assert!((1..=Event::TARGETS_MAX).contains(&event.targets.len()));
    let free = [&event.provenance.source, &event.provenance.reason];
    assert!(free.iter().all(|text| text.len() <= Event::TEXT_BYTES_MAX));
    assert!(event.request_id.as_ref().is_none_or(|id| (1..=Event::TEXT_BYTES_MAX).contains(&id.len())));

    let written = forms(&event);
    assert_eq!(written.len(), 1, "an event of one form has one namespace");
    let json = serde_json::to_vec(&written[0]).expect("strings, lists and flags are always JSON");
    let packed = rmp_serde::to_vec_named(&written[0]).expect("strings, lists and flags always have a form");
    if within_size(json.len()).is_ok() {
        assert_eq!(from_json(&json).as_ref(), Ok(&event));
        assert_eq!(from_message(&json).as_ref(), Ok(&event));
    }
    if within_size(packed.len()).is_ok() {
        assert_eq!(from_msgpack(&packed).as_ref(), Ok(&event));
    }
    assert_eq!(render(&LogId::single(7), 1, Path::Stream, &event).len(), 1);
}
