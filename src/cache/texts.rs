//! Texts that many copies have in common, each kept once: what is said of values, and who loaded them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Content, Value};

/// Texts that are kept. Once there are more it begins anew: they may be those of long ago.
const KEPT_MAX: usize = 256;
/// Bytes of the longest of them.
const BYTES_MAX: usize = 256;

/// The texts of a namespace.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<HashSet<Arc<str>>>);

impl Texts {
    /// The text, where it can be the one that others have.
    pub(super) fn common(&self, text: &str) -> Arc<str> {
        if BYTES_MAX < text.len() {
            return text.into();
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(text) {
            return Arc::clone(kept);
        }
        if kept.len() == KEPT_MAX {
            kept.clear();
        }
        let text: Arc<str> = text.into();
        kept.insert(Arc::clone(&text));
        text
    }

    /// The same content, with what it has in common with others.
    pub(super) fn content(&self, content: Content) -> Content {
        match content {
            Content::Present(value) => {
                let content_type = value.content_type.map(|text| self.common(&text));
                Content::Present(Value { content_type, ..value })
            }
            Content::Absent => Content::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_no_more_of_them_than_there_may_be() {
        let texts = Texts::default();
        let first = texts.common("text/plain");
        assert!(Arc::ptr_eq(&first, &texts.common("text/plain")));
        for n in 0..3 * KEPT_MAX {
            assert_eq!(&*texts.common(&n.to_string()), n.to_string());
            assert!(texts.0.lock().unwrap().len() <= KEPT_MAX);
        }
        let long = "x".repeat(BYTES_MAX + 1);
        assert_eq!(*texts.common(&long), *long);
        assert!(!texts.0.lock().unwrap().contains(&*long));
    }
}
