//! Who made a copy, in as little room as there can be for every entry.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::texts::Texts;
use crate::backend::LoadId;

/// A number in no more room where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(NonZeroU64);

impl Number {
    /// `None` for the one number that does not fit, which nothing counts up to.
    pub(super) fn new(number: u64) -> Option<Self> {
        number.checked_add(1).and_then(NonZeroU64::new).map(Self)
    }

    pub(super) fn get(self) -> u64 {
        self.0.get() - 1
    }
}

/// A [`LoadId`] in two parts: what all loads of a process have in common is kept once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loader {
    process: Arc<str>,
    /// `None`: the id is of another form, and is all in the text.
    number: Option<Number>,
}

impl Loader {
    pub(super) fn new(load: &LoadId, texts: &Texts) -> Self {
        match parts(load) {
            Some((process, number)) => Self { process: texts.common(process), number: Some(number) },
            None => Self::from(load.clone()),
        }
    }

    /// The id, as it was.
    pub(super) fn id(&self) -> LoadId {
        match self.number {
            Some(number) => LoadId(format!("{}{:x}", self.process, number.get()).into()),
            None => LoadId(Arc::clone(&self.process)),
        }
    }

    /// Whether that is its id.
    pub(super) fn is(&self, load: &LoadId) -> bool {
        self.id() == *load
    }
}

impl From<LoadId> for Loader {
    fn from(load: LoadId) -> Self {
        Self { process: load.0, number: None }
    }
}

/// Only what reads back as it is written.
fn parts(load: &LoadId) -> Option<(&str, Number)> {
    let (process, digits) = load.split()?;
    let canonical = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let leads = digits.len() != 1 && digits.starts_with('0');
    if leads || !digits.bytes().all(canonical) {
        return None;
    }
    Some((process, Number::new(u64::from_str_radix(digits, 16).ok()?)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loads_of_a_process_have_all_but_their_number_in_common() {
        let texts = Texts::default();
        let loads = [0, 1, 0xABC, u64::MAX - 1].map(|number| LoadId::new("inst~1", 7, number));
        let loaders = loads.each_ref().map(|load| Loader::new(load, &texts));
        for (load, loader) in loads.iter().zip(&loaders) {
            assert!(loader.is(load) && loader.number.is_some(), "{load:?}");
            assert!(Arc::ptr_eq(&loader.process, &loaders[0].process));
        }
        assert!(!loaders[0].is(&loads[1]));
    }

    #[test]
    fn ids_of_any_other_form_are_what_they_were() {
        let odd = [
            "",
            "l",
            "inst~",
            "inst~0123456789abcdef",
            "inst~0123456789abcdef01",
            "~0123456789abcdefA",
            "é~é",
        ];
        for text in odd {
            let loader = Loader::new(&LoadId(text.into()), &Texts::default());
            assert_eq!((&*loader.id().0, loader.number), (text, None), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_what_it_was(text in ".{0,40}|[a-z]{0,3}~[0-9a-f+A-F-]{14,40}") {
            let load = LoadId(text.into());
            prop_assert_eq!(Loader::new(&load, &Texts::default()).id(), load);
        }
    }
}
