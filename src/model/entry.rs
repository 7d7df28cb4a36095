//! What a load brings and both tiers keep.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::text::Tag;

/// A value's bytes and what HTTP says of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The bytes, as the origin or the writer sent them.
    pub body: Bytes,
    /// `Content-Type`.
    pub content_type: Option<Arc<str>>,
    /// `ETag` with its quotes, the origin's own or made from the bytes.
    pub etag: Option<Arc<str>>,
    /// `Last-Modified`, as the origin spelt it.
    pub last_modified: Option<Arc<str>>,
}

/// What is known of a key: its value, or that the origin has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A value.
    Present(Value),
    /// The origin has none (404, 410, no row).
    Absent,
}

/// How long a copy serves, counted from when its load began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Served without question up to this age.
    pub fresh: Duration,
    /// Beyond `fresh`: served while a refresh runs, for so much longer.
    pub stale_while_revalidate: Duration,
    /// Beyond `fresh`: served when the origin fails, for so much longer.
    pub stale_if_error: Duration,
}

impl Lifetime {
    /// How long a copy is kept at all: `fresh` plus the longer of the two stale windows.
    pub fn kept(&self) -> Duration {
        self.fresh.saturating_add(self.stale_while_revalidate.max(self.stale_if_error))
    }
}

/// What a load brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The value, or that there is none.
    pub content: Content,
    /// Tags that the origin's answer carries, beside those of the namespace.
    pub tags: Vec<Tag>,
    /// How long the origin says it serves; `None` where it says nothing.
    pub lifetime: Option<Lifetime>,
    /// Age it already had, by the origin's `Age` header.
    pub age: Duration,
    /// Whether it may be kept (`no-store`, `private` and values that are too large may not).
    pub keep: bool,
}
