//! Why an event is refused.

use std::fmt;

use super::EVENT_BYTES_MAX;
use crate::model::{Event, Invalid};

/// Longest part of a message that quotes what was sent, in characters.
const QUOTED_CHARS_MAX: usize = 200;

/// Why an event from outside is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Over [`EVENT_BYTES_MAX`].
    #[error("the event has {0} bytes, at most {EVENT_BYTES_MAX} are read")]
    TooLarge(usize),
    /// Not the form it should be, or a field has the wrong type.
    #[error("the event cannot be read: {0}")]
    Malformed(String),
    /// A field that events do not have: what it was meant to name would not be invalidated.
    #[error("`{0}` is not a field of an event")]
    UnknownField(String),
    /// Nothing is named.
    #[error("the event names nothing: it needs keys, prefixes, tags or all")]
    NoTarget,
    /// More than [`Event::TARGETS_MAX`].
    #[error("the event has more than {} targets", Event::TARGETS_MAX)]
    TooManyTargets,
    /// Keys or prefixes without the namespace they are in.
    #[error("keys and prefixes need a namespace")]
    NoNamespace,
    /// A namespace that cannot be one.
    #[error(transparent)]
    BadNamespace(Invalid),
    /// A key that cannot be one.
    #[error(transparent)]
    BadKey(Invalid),
    /// A prefix that cannot be one.
    #[error(transparent)]
    BadPrefix(Invalid),
    /// A tag that cannot be one.
    #[error(transparent)]
    BadTag(Invalid),
    /// Empty, over [`Event::TEXT_BYTES_MAX`] or not UTF-8.
    #[error("a request_id is 1 to {} bytes of UTF-8", Event::TEXT_BYTES_MAX)]
    BadRequestId,
}

impl FormError {
    /// Every label that [`Self::reason`] gives.
    pub const REASONS: [&'static str; 10] = [
        "too_large",
        "malformed",
        "unknown_field",
        "no_target",
        "too_many_targets",
        "bad_namespace",
        "bad_key",
        "bad_prefix",
        "bad_tag",
        "bad_request_id",
    ];

    /// The `reason` of `coherd_events_rejected_total`: stable, one of [`Self::REASONS`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
            Self::UnknownField(_) => "unknown_field",
            Self::NoTarget => "no_target",
            Self::TooManyTargets => "too_many_targets",
            Self::NoNamespace | Self::BadNamespace(_) => "bad_namespace",
            Self::BadKey(_) => "bad_key",
            Self::BadPrefix(_) => "bad_prefix",
            Self::BadTag(_) => "bad_tag",
            Self::BadRequestId => "bad_request_id",
        }
    }

    /// What a decoder said, which may quote what was sent, cut to a length fit for a log.
    pub(crate) fn malformed(why: &dyn fmt::Display) -> Self {
        Self::Malformed(quoted(&why.to_string()))
    }

    /// A name that was sent, cut likewise.
    pub(super) fn unknown(field: &[u8]) -> Self {
        Self::UnknownField(quoted(&String::from_utf8_lossy(field)))
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}
