//! Names: the one mechanism behind keys, tags, prefixes and namespaces. An entry is covered by names; an event
//! names some; an entry older than an event that named one of its names is no longer true.

use std::fmt;

use super::text::{Key, Namespace, Prefix, Tag};

/// How many boundaries of a key count as implicit prefixes.
const PREFIX_DEPTH_MAX: usize = 8;

/// What an event can name and an entry can be covered by, in its spelling inside Valkey's watermark hash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// `k/NS/KEY`.
    pub fn key(namespace: &Namespace, key: &Key) -> Self {
        Self(["k/", namespace, "/", key].concat().into())
    }

    /// `p/NS/PREFIX`.
    pub fn prefix(namespace: &Namespace, prefix: &str) -> Self {
        Self(["p/", namespace, "/", prefix].concat().into())
    }

    /// `n/NS`.
    pub fn namespace(namespace: &Namespace) -> Self {
        Self(["n/", namespace].concat().into())
    }

    /// `t/TAG`.
    pub fn tag(tag: &Tag) -> Self {
        Self(["t/", tag].concat().into())
    }

    /// A name as another program or an L2 entry spelt it; it is only ever compared.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names that cover every entry of `key` by itself: the key, its prefixes and its namespace.
pub fn covering(namespace: &Namespace, key: &Key) -> Vec<Name> {
    let mut names = vec![Name::key(namespace, key), Name::namespace(namespace)];
    names.extend(boundaries(key).map(|prefix| Name::prefix(namespace, prefix)));
    names
}

/// The beginnings of `key` that end on `/` or `:`, shortest first, at most eight.
pub fn boundaries(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices(['/', ':']).map(|(at, _)| &key[..=at]).take(PREFIX_DEPTH_MAX)
}

/// The boundary a prefix stands for: itself where it ends on one of the first eight, else the one before it;
/// `None` where there is none, which stands for the whole namespace.
pub fn widen(prefix: &Prefix) -> Option<&str> {
    boundaries(prefix).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(key: &str) -> Vec<&str> {
        boundaries(key).collect()
    }

    #[test]
    fn boundaries_are_slash_and_colon_eight_deep() {
        assert_eq!(prefixes("eu/de/7"), ["eu/", "eu/de/"]);
        assert_eq!(prefixes("a:b"), ["a:"]);
        assert_eq!(prefixes("plain"), Vec::<&str>::new());
        assert_eq!(prefixes("1/2/3/4/5/6/7/8/9/10").len(), 8);
    }

    #[test]
    fn a_prefix_is_widened_to_the_boundary_before_it() {
        let widened = |text: &str| widen(&Prefix::new(text).unwrap()).map(str::to_owned);
        assert_eq!(widened("eu/"), Some("eu/".to_owned()));
        assert_eq!(widened("eu/d"), Some("eu/".to_owned()));
        assert_eq!(widened("eu"), None);
        // deeper than the eight boundaries that entries are covered by: widened to the eighth
        assert_eq!(widened("1/2/3/4/5/6/7/8/9/"), Some("1/2/3/4/5/6/7/8/".to_owned()));
    }

    #[test]
    fn every_widened_prefix_of_a_key_covers_the_key() {
        let ns = Namespace::new("n").unwrap();
        let key = Key::new("a/b:c/d/e/f/g/h/i/j/k").unwrap();
        let names = covering(&ns, &key);
        for end in 1..=key.len() {
            let prefix = Prefix::new(&key[..end]).unwrap();
            let name = widen(&prefix).map_or_else(|| Name::namespace(&ns), |p| Name::prefix(&ns, p));
            assert!(names.contains(&name), "{prefix} → {name:?}");
        }
    }
}
