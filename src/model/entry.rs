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

/// What an origin's answer or a write says of its own lifetime; the namespace's settings fill what is left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// [`Lifetime::fresh`], if it says so.
    pub fresh: Option<Duration>,
    /// [`Lifetime::stale_while_revalidate`], if it says so.
    pub stale_while_revalidate: Option<Duration>,
    /// [`Lifetime::stale_if_error`], if it says so.
    pub stale_if_error: Option<Duration>,
}

impl Stated {
    /// What is stated, and `defaults` where nothing is.
    pub fn or(self, defaults: Lifetime) -> Lifetime {
        Lifetime {
            fresh: self.fresh.unwrap_or(defaults.fresh),
            stale_while_revalidate: self.stale_while_revalidate.unwrap_or(defaults.stale_while_revalidate),
            stale_if_error: self.stale_if_error.unwrap_or(defaults.stale_if_error),
        }
    }

    /// The same with none of its times beyond `max`.
    #[must_use]
    pub fn capped(self, max: Duration) -> Self {
        let cap = |time: Option<Duration>| time.map(|time| time.min(max));
        Self {
            fresh: cap(self.fresh),
            stale_while_revalidate: cap(self.stale_while_revalidate),
            stale_if_error: cap(self.stale_if_error),
        }
    }
}

/// Whether what a load brought may be kept in the tiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// It may.
    #[default]
    Yes,
    /// The origin forbids it (`no-store`, `private`, `Vary: *`).
    NoStore,
    /// It is over the namespace's `max_value`: passed on, not stored.
    TooLarge,
}

/// What a load brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The value, or that there is none.
    pub content: Content,
    /// Tags that the origin's answer carries, beside those of the namespace; at most [`super::TAGS_MAX`].
    pub tags: Vec<Tag>,
    /// How long the origin says it serves, no longer than `ttl_max`. Nothing for an absence: `negative_ttl` alone rules.
    pub lifetime: Stated,
    /// Age it already had, by the origin's `Age` header.
    pub age: Duration,
    /// Whether it may be kept.
    pub keep: Keep,
}

/// A strong `ETag` made from the bytes, for values that come without one: XXH3-128 in hex, with its quotes.
/// The same in every instance.
pub fn etag_of(body: &[u8]) -> Arc<str> {
    format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(body)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_is_not_stated_comes_from_the_namespace() {
        let defaults =
            Lifetime { fresh: seconds(1), stale_while_revalidate: seconds(2), stale_if_error: seconds(3) };
        assert_eq!(Stated::default().or(defaults), defaults);
        let stated =
            Stated { fresh: Some(seconds(9)), stale_if_error: Some(Duration::ZERO), ..Stated::default() };
        let expected = Lifetime { fresh: seconds(9), stale_if_error: Duration::ZERO, ..defaults };
        assert_eq!(stated.or(defaults), expected);
        assert_eq!(stated.capped(seconds(5)).or(defaults).fresh, seconds(5));
        assert_eq!(Stated::default().capped(seconds(5)), Stated::default());
    }

    #[test]
    fn an_etag_made_from_bytes_is_quoted_and_differs_with_them() {
        let etag = etag_of(b"abc");
        assert_eq!(&*etag, "\"06b05ab6733a618578af5f94892f3950\"");
        assert_ne!(etag, etag_of(b"abd"));
        assert_eq!(etag_of(b"").len(), 34);
    }
}
