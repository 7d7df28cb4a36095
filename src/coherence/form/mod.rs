//! The forms in which events come from other systems and go out to them: JSON, MessagePack, lists of fields.
//!
//! Whoever reads one gets a checked [`Event`] or a [`FormError`] that names the fault; nothing here panics or takes
//! more memory than a small multiple of what was sent.

mod draft;
mod fault;
mod fields;
pub(crate) mod fuzzing;
mod render;
mod text;

pub use fault::FormError;
pub use fields::from_fields;
pub use render::{path_label, render, rfc3339};
pub use text::Texts;

use serde::Deserialize;

use crate::model::Event;
use draft::Draft;

/// Largest event that is read, in bytes, in any form.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting of a MessagePack value that is followed; an event needs two.
const MSGPACK_DEPTH_MAX: usize = 16;

/// Reads the JSON form.
pub fn from_json(bytes: &[u8]) -> Result<Event, FormError> {
    within_size(bytes.len())?;
    let draft: Draft = serde_json::from_slice(bytes).map_err(|error| FormError::malformed(&error))?;
    draft.check()
}

/// Reads the MessagePack form: a map with the names of the JSON form.
pub fn from_msgpack(bytes: &[u8]) -> Result<Event, FormError> {
    within_size(bytes.len())?;
    let mut rest = bytes;
    let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
    deserializer.set_max_depth(MSGPACK_DEPTH_MAX);
    let draft = Draft::deserialize(&mut deserializer).map_err(|error| FormError::malformed(&error))?;
    if !rest.is_empty() {
        return Err(FormError::malformed(&"there is something behind the event"));
    }
    draft.check()
}

/// Reads a message that does not say which form it has: JSON begins with `{` or white space, which no MessagePack
/// map does.
pub fn from_message(bytes: &[u8]) -> Result<Event, FormError> {
    match bytes.first() {
        Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') | None => from_json(bytes),
        Some(_) => from_msgpack(bytes),
    }
}

fn within_size(bytes: usize) -> Result<(), FormError> {
    if EVENT_BYTES_MAX < bytes { Err(FormError::TooLarge(bytes)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
