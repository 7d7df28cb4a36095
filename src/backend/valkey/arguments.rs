//! Arguments of one command, side by side in one buffer: a step has hundreds, and one allocation for each would cost more
//! than what they say.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::connection::millis;

/// What is to be sent, in its order.
#[derive(Default)]
pub(super) struct Arguments {
    texts: BytesMut,
    parts: Vec<Part>,
}

enum Part {
    Text(Range<usize>),
    Shared(Bytes),
}

impl Arguments {
    pub(super) fn text(&mut self, text: impl fmt::Display) {
        let start = self.texts.len();
        write!(self.texts, "{text}").expect("a buffer takes whatever is written");
        self.parts.push(Part::Text(start..self.texts.len()));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let start = self.texts.len();
        self.texts.extend_from_slice(bytes);
        self.parts.push(Part::Text(start..self.texts.len()));
    }

    /// Without a copy.
    pub(super) fn shared(&mut self, bytes: Bytes) {
        self.parts.push(Part::Shared(bytes));
    }

    /// In milliseconds, ten years at the most.
    pub(super) fn millis(&mut self, time: Duration) {
        self.text(millis(time));
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.bytes(if flag { b"1" } else { b"0" });
    }

    /// Room for an argument of so many bytes, to be filled with what is known later.
    pub(super) fn room(&mut self, bytes: usize) -> Range<usize> {
        let start = self.texts.len();
        self.texts.resize(start + bytes, 0);
        self.parts.push(Part::Text(start..start + bytes));
        start..start + bytes
    }

    /// Fills the room; `bytes` are as many as it was made for.
    pub(super) fn fill(&mut self, room: Range<usize>, bytes: &[u8]) {
        self.texts[room].copy_from_slice(bytes);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// One after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| match part {
            Part::Text(range) => &self.texts[range.clone()],
            Part::Shared(bytes) => bytes,
        })
    }
}
