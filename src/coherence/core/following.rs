//! What a shard's follower does with what it hears: it moves the view, in the order that the protocol asks for, and
//! says what else is to be done.

use std::collections::VecDeque;

use super::follower::{Follower, Leap, Progress, Step};
use super::view::View;
use crate::backend::{Head, Logged};
use crate::clock::Boot;
#[cfg(test)]
use crate::model::Nonce;
use crate::model::{LineageId, Seq};

/// Heartbeats that wait for the cursor to reach their heads.
const UNPROVEN_MAX: usize = 8;

/// The writer of one shard's view.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub struct Following {
    follower: Follower,
    /// Heartbeats whose heads are not reached yet, oldest first.
    unproven: VecDeque<(Seq, Boot)>,
    /// A head that was asked for, since when, and why: announcements are of no use until it is here.
    wanted: Option<(Boot, Wanted)>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    Begin(Leap),
    Skip,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is marked, and so is everything before it.
    Applied,
    /// It was applied before, or is of no use now.
    Passed,
    /// Events before it are missing: the log is to be read.
    Missing,
    /// The log does not hold what is missing: a heartbeat is to be sent, and its head skipped to.
    Trimmed,
    /// Another history: a heartbeat is to be sent, and its head begun from.
    Other,
}

/// What came of a heartbeat's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is proof.
    Proof,
    /// Events are missing up to its head: it will be proof once they are applied.
    Behind,
    /// The view has moved to its head without what lies between, and it is proof.
    Skipped,
    /// The view follows its history from its head on, and it is proof.
    Begun(Leap),
    /// It was sent before the head that is waited for was asked for.
    Early,
}

impl Following {
    /// The last event applied.
    pub fn cursor(&self) -> Seq {
        self.follower.cursor()
    }

    /// A heartbeat sent from now on is waited for, and nothing else is of use.
    pub fn wants_head(&self) -> bool {
        self.wanted.is_some()
    }

    /// No heartbeat waits for the cursor to reach its head.
    pub fn all_proven(&self) -> bool {
        self.unproven.is_empty()
    }

    /// An event that was announced.
    pub fn announced(&mut self, view: &View, lineage: &LineageId, logged: &Logged, now: Boot) -> Heard {
        if self.wanted.is_some() {
            return Heard::Passed;
        }
        let step = self.follower.announced(lineage, logged);
        self.step(view, step, logged, now)
    }

    /// Where to read the log from; `None` while that is of no use.
    pub fn reads_after(&self, view: &View) -> Option<Seq> {
        (self.wanted.is_none() && view.lineage().is_some()).then(|| self.follower.cursor())
    }

    /// An event read from the log, the first after [`Following::reads_after`] or right after the one before.
    pub fn read(&mut self, view: &View, logged: &Logged, now: Boot) -> Heard {
        let step = self.follower.read(logged);
        self.step(view, step, logged, now)
    }

    /// The log was read to its end, where `known` and every event a heartbeat knew of must have been.
    pub fn read_to_end(&mut self, known: Seq, now: Boot) -> Heard {
        let known = self.unproven.iter().map(|(seq, _)| *seq).fold(known, Seq::max);
        if known <= self.follower.cursor() {
            return Heard::Passed;
        }
        self.want(now, Wanted::Skip);
        Heard::Trimmed
    }

    /// The answer to a heartbeat that was sent at `sent`.
    pub fn head(&mut self, view: &View, sent: Boot, head: &Head) -> Answer {
        if let Some((since, wanted)) = self.wanted {
            if sent < since {
                return Answer::Early;
            }
            self.wanted = None;
            return self.leap(view, wanted, sent, head);
        }
        match self.follower.head(head) {
            Progress::Level => {
                view.prove(sent);
                Answer::Proof
            }
            Progress::Behind(seq) => {
                if self.unproven.len() == UNPROVEN_MAX {
                    self.unproven.pop_back();
                }
                self.unproven.push_back((seq, sent));
                Answer::Behind
            }
            Progress::Other(leap) => self.leap(view, Wanted::Begin(leap), sent, head),
        }
    }

    fn step(&mut self, view: &View, step: Step, logged: &Logged, now: Boot) -> Heard {
        match step {
            Step::Apply => {
                self.apply(view, logged);
                Heard::Applied
            }
            Step::Repeated => Heard::Passed,
            Step::Missing => Heard::Missing,
            Step::Trimmed => {
                self.want(now, Wanted::Skip);
                Heard::Trimmed
            }
            Step::Other(leap) => {
                self.want(now, Wanted::Begin(leap));
                Heard::Other
            }
        }
    }

    /// Marks, advances, and only then lets proof follow.
    fn apply(&mut self, view: &View, logged: &Logged) {
        view.mark(logged.seq, &logged.event);
        view.advance(logged.seq);
        while let Some((_, sent)) = self.unproven.pop_front_if(|(seq, _)| *seq <= logged.seq) {
            view.prove(sent);
        }
    }

    /// Only a head sent from now on tells what to begin or skip to.
    fn want(&mut self, now: Boot, wanted: Wanted) {
        self.wanted = Some((now, wanted));
    }

    fn leap(&mut self, view: &View, wanted: Wanted, sent: Boot, head: &Head) -> Answer {
        self.unproven.clear();
        // Where the lineage is another by now, skipping within the old one would keep what must go.
        let same = view.lineage().is_some_and(|followed| followed == head.token.lineage);
        let answer = match wanted {
            Wanted::Skip if same => {
                self.follower.skip(head);
                view.skip(head.token.seq);
                Answer::Skipped
            }
            Wanted::Skip => self.begin(view, Leap::Lineage, head),
            Wanted::Begin(leap) => self.begin(view, leap, head),
        };
        view.prove(sent);
        answer
    }

    fn begin(&mut self, view: &View, leap: Leap, head: &Head) -> Answer {
        self.follower.begin(head);
        view.begin(head.token.lineage.clone(), head.token.seq);
        Answer::Begun(leap)
    }
}

/// What it remembers, for the explorer to tell one state from another.
#[cfg(test)]
impl Following {
    /// The nonces of the events remembered, the newest last.
    pub(crate) fn nonces(&self) -> impl Iterator<Item = &Nonce> {
        self.follower.nonces()
    }

    /// Heartbeats whose heads are not reached.
    pub(crate) fn unproven(&self) -> impl ExactSizeIterator<Item = (Seq, Boot)> {
        self.unproven.iter().copied()
    }

    /// Since when a head is waited for, and whether to skip to it or to begin from it.
    pub(crate) fn wanted(&self) -> Option<(Boot, bool)> {
        self.wanted.map(|(since, wanted)| (since, matches!(wanted, Wanted::Skip)))
    }
}
