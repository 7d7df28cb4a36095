//! Texts as they were sent, before anything is known of them: perhaps not UTF-8, perhaps far too many.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

/// One text: its bytes, which the decoders of JSON and MessagePack both hand out unchecked.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) Vec<u8>);

/// A list of texts of which the first `MAX` are kept; the rest is read over and only remembered to exist.
#[derive(Debug, Default)]
pub struct Texts<const MAX: usize> {
    /// The texts as sent.
    pub kept: Vec<Vec<u8>>,
    /// There were more than `MAX`.
    pub more: bool,
}

impl<const MAX: usize> Texts<MAX> {
    /// Adds one.
    pub(super) fn push(&mut self, text: Vec<u8>) {
        if self.kept.len() < MAX {
            self.kept.push(text);
        } else {
            self.more = true;
        }
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.as_bytes().to_vec()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(bytes.to_vec()))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextsVisitor<const MAX: usize>;

impl<'de, const MAX: usize> Visitor<'de> for TextsVisitor<MAX> {
    type Value = Texts<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    // The length that the sender claims is not looked at: it reserves nothing.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts<MAX>, A::Error> {
        let mut texts = Texts { kept: Vec::new(), more: false };
        while texts.kept.len() < MAX {
            match list.next_element::<Text>()? {
                Some(text) => texts.kept.push(text.0),
                None => return Ok(texts),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            texts.more = true;
        }
        Ok(texts)
    }

    fn visit_unit<E>(self) -> Result<Texts<MAX>, E> {
        Ok(Texts { kept: Vec::new(), more: false })
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Texts<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}
