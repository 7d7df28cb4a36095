//! Lease tokens from anywhere: see [`crate::fuzzing`].

use super::aside::{grant, granted};

/// What a client sends as `Coherd-Lease`.
pub(crate) fn lease_token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((load, token)) = granted(text) else { return };
    let again = grant(load.clone(), &token);
    assert_eq!(again.load, load);
    assert_eq!(granted(&again.token), Some((load, token)), "a grant reads as it was given");
}
