//! Checked texts: a value of these types has passed the contract's limits.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Longest namespace, in bytes.
const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 256;
/// Longest prefix, in bytes: as long as a key.
pub const PREFIX_BYTES_MAX: usize = KEY_BYTES_MAX;
/// Most tags a value may carry.
pub const TAGS_MAX: usize = 128;

/// A text that breaks the contract's limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not 1 to 64 of `[a-z0-9_-]`.
    #[error("namespace `{0}` is not 1 to 64 of a-z, 0-9, `_` and `-`")]
    Namespace(String),
    /// Empty or over 512 bytes.
    #[error("a key has 1 to 512 bytes, this one has {0}")]
    KeyLength(usize),
    /// Empty or over 512 bytes.
    #[error("a prefix has 1 to 512 bytes, this one has {0}")]
    PrefixLength(usize),
    /// Not UTF-8.
    #[error("a key is UTF-8, this one is not")]
    KeyEncoding,
    /// Not 1 to 256 bytes of 0x21 to 0x7E without comma.
    #[error("tag `{0}` is not 1 to 256 visible ASCII characters without comma")]
    Tag(String),
    /// More than 128 tags on one value.
    #[error("a value carries at most 128 tags, this one has {0}")]
    TooManyTags(usize),
    /// A header of tags that does not read as what it is.
    #[error("`{0}` is not a list of strings as in RFC 9875")]
    TagList(String),
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
        impl $name {
            /// The shared text, without a copy.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }
    };
}

text! {
    /// A namespace: `[a-z0-9_-]{1,64}`.
    Namespace
}
text! {
    /// A key within a namespace: 1 to 512 bytes of UTF-8, `/` allowed.
    Key
}
text! {
    /// A tag: 1 to 256 bytes of 0x21 to 0x7E without comma.
    Tag
}
text! {
    /// The beginning of keys: 1 to 512 bytes of UTF-8.
    Prefix
}

impl Namespace {
    /// Checks `text` against the contract.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if text.is_empty() || NAMESPACE_BYTES_MAX < text.len() || !text.bytes().all(allowed) {
            return Err(Invalid::Namespace(text.chars().take(NAMESPACE_BYTES_MAX + 1).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl Key {
    /// Checks `text` against the contract.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || KEY_BYTES_MAX < text.len() {
            return Err(Invalid::KeyLength(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The same for bytes that may not be UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        std::str::from_utf8(bytes).map_err(|_| Invalid::KeyEncoding).and_then(Self::new)
    }
}

impl Tag {
    /// Checks `text` against the contract.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let allowed = |b: u8| (0x21..=0x7E).contains(&b) && b != b',';
        if text.is_empty() || TAG_BYTES_MAX < text.len() || !text.bytes().all(allowed) {
            return Err(Invalid::Tag(text.chars().take(TAG_BYTES_MAX + 1).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl Prefix {
    /// Checks `text` against the contract.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || PREFIX_BYTES_MAX < text.len() {
            return Err(Invalid::PrefixLength(text.len()));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_lower_case_ascii_of_1_to_64() {
        for good in ["a", "users", "a-b_c9", &"x".repeat(64)] {
            assert!(Namespace::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Users", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(Namespace::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_has_1_to_512_bytes_of_utf8() {
        assert!(Key::new(&"k".repeat(512)).is_ok());
        assert_eq!(Key::new(&"k".repeat(513)), Err(Invalid::KeyLength(513)));
        assert_eq!(Key::new(""), Err(Invalid::KeyLength(0)));
        assert_eq!(Key::from_bytes(&[0xFF]), Err(Invalid::KeyEncoding));
    }

    #[test]
    fn a_tag_is_visible_ascii_without_comma() {
        for good in ["a", "team:7", "!", "~", &"t".repeat(256)] {
            assert!(Tag::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a,b", "ä", "\u{7f}", &"t".repeat(257)] {
            assert!(Tag::new(bad).is_err(), "{bad}");
        }
    }
}
