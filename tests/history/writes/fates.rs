//! One write and what became of it; one attempt at the origin.

use crate::history::record::Record;
use crate::history::written::{Accepted, Answer, Done, Mode};

/// A write of an object.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not, whatever the others are")]
pub(super) struct Fate<'a> {
    /// Its place in the history.
    pub(super) place: usize,
    pub(super) number: u64,
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) put: bool,
    pub(super) mode: Mode,
    /// What its client was told; `None`: it may have been taken or not.
    pub(super) accepted: Option<&'a Accepted>,
    /// Its fence; `None`: nobody saw it.
    pub(super) rank: Option<u64>,
    /// The highest that its fence may be: of two removals side by side nobody knows which is which at the origin.
    pub(super) most: Option<u64>,
    /// When it first took effect at the origin.
    pub(super) applied: Option<u64>,
    /// When the origin first said that a newer one was there.
    pub(super) superseded: Option<u64>,
    /// When the origin said that it will never take it.
    pub(super) refused: Option<u64>,
    /// It is a dead letter.
    pub(super) dead: bool,
    /// It is one, or was before the server forgot.
    pub(super) given_up: bool,
    /// When it was no longer pending, by itself or because a newer one was not.
    pub(super) resolved: Option<u64>,
    /// Readers are bound by it.
    pub(super) stands: bool,
}

impl<'a> Fate<'a> {
    /// As its client knows it.
    pub(super) fn new(
        place: usize,
        record: &Record,
        number: u64,
        put: bool,
        mode: Mode,
        answer: &'a Answer,
    ) -> Self {
        let accepted = match answer {
            Answer::Accepted(accepted) => Some(accepted),
            Answer::Unknown { .. } => None,
        };
        let (started, ended) = (record.started, record.ended);
        // Of a write that goes to the origin at once, the log id is that of its end.
        let rank = accepted.filter(|_| mode == Mode::Behind).and_then(Accepted::seq);
        Self {
            place,
            number,
            started,
            ended,
            put,
            mode,
            accepted,
            rank,
            most: None,
            applied: None,
            superseded: None,
            refused: None,
            dead: false,
            given_up: false,
            resolved: None,
            stands: false,
        }
    }

    /// When the origin first knew of it, with or without effect.
    pub(super) fn known(&self) -> Option<u64> {
        [self.applied, self.superseded].into_iter().flatten().min()
    }

    /// The origin has done with it.
    pub(super) fn delivered(&mut self, done: Done, at: u64) {
        match done {
            Done::Applied | Done::Repeated => self.applied = self.applied.or(Some(at)),
            Done::Superseded => self.superseded = self.superseded.or(Some(at)),
            Done::Refused => self.refused = self.refused.or(Some(at)),
            Done::Failed => {}
        }
    }
}

/// One attempt at the origin.
#[derive(Clone, Debug)]
pub(super) struct Delivery<'a> {
    /// Its place in the history.
    pub(super) place: usize,
    pub(super) started: u64,
    pub(super) ended: u64,
    /// What the value says; `None`: a removal.
    pub(super) write: Option<u64>,
    pub(super) seq: Option<u64>,
    pub(super) key: Option<&'a str>,
    pub(super) done: Done,
}
