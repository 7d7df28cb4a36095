//! The follower of one shard's log: which event comes next, what was missed, what proves that nothing was.

use std::collections::VecDeque;

use crate::backend::{Head, Logged};
use crate::model::{LineageId, Nonce, Seq};

/// How many applied events are remembered, to tell a repeated event from a fork of the history.
const REMEMBERED_MAX: usize = 4096;

/// What an event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the next one: mark its names, then advance.
    Apply,
    /// It was applied before.
    Repeated,
    /// Events before it are missing: read the log from the cursor.
    Missing,
    /// The log holds nothing of what lies between: only the head is known. Skip to it.
    Trimmed,
    /// Another history: begin anew at the head.
    Other(Leap),
}

/// Why everything held becomes invalid: the `cause` of `coherd_resyncs_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leap {
    /// The first head this process has seen.
    Start,
    /// The shard began another lineage.
    Lineage,
    /// The same lineage, but not the same events under the same numbers.
    Fork,
}

/// Why the log had to be read: the `cause` of `coherd_gaps_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gap {
    /// An announced event was not the next one.
    Sequence,
    /// Announcements were dropped on the way through this process.
    Lagged,
    /// The subscription was made anew.
    Reconnect,
    /// A heartbeat knew of events that no announcement had brought.
    Heartbeat,
    /// The log no longer held what was missing.
    Trimmed,
}

/// What a heartbeat's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Every event up to the head has been applied: the heartbeat is proof.
    Level,
    /// Events are missing up to this one.
    Behind(Seq),
    /// Another history: begin anew at the head.
    Other(Leap),
}

/// The follower's memory. It decides; its caller reads, marks and stores.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Follower {
    lineage: Option<LineageId>,
    cursor: Seq,
    /// The nonces of the last events, the newest last; the newest is the cursor's.
    applied: VecDeque<Nonce>,
}

impl Follower {
    /// The last event applied.
    pub(super) fn cursor(&self) -> Seq {
        self.cursor
    }

    /// An event that was announced.
    pub(super) fn announced(&mut self, lineage: &LineageId, logged: &Logged) -> Step {
        match &self.lineage {
            None => Step::Other(Leap::Start),
            Some(followed) if followed != lineage => Step::Other(Leap::Lineage),
            Some(_) => self.next(logged),
        }
    }

    /// An event read from the log, as the first after the cursor or right after the one before.
    pub(super) fn read(&mut self, logged: &Logged) -> Step {
        match self.next(logged) {
            Step::Missing => Step::Trimmed,
            step => step,
        }
    }

    /// A heartbeat's answer.
    pub(super) fn head(&self, head: &Head) -> Progress {
        match &self.lineage {
            None => return Progress::Other(Leap::Start),
            Some(followed) if *followed != head.token.lineage => return Progress::Other(Leap::Lineage),
            Some(_) => {}
        }
        if self.cursor < head.token.seq {
            return Progress::Behind(head.token.seq);
        }
        // An answer may be older than an announcement that overtook it; but where its event is remembered, it must be
        // the same event.
        match self.nonce(head.token.seq) {
            Some(nonce) if *nonce != head.nonce => Progress::Other(Leap::Fork),
            _ => Progress::Level,
        }
    }

    /// Follows a lineage from its head on.
    pub(super) fn begin(&mut self, head: &Head) {
        self.lineage = Some(head.token.lineage.clone());
        self.skip(head);
    }

    /// Goes on at the head without what lies between.
    pub(super) fn skip(&mut self, head: &Head) {
        self.cursor = head.token.seq;
        self.applied.clear();
        self.applied.push_back(head.nonce.clone());
    }

    fn next(&mut self, logged: &Logged) -> Step {
        if logged.seq <= self.cursor {
            return match self.nonce(logged.seq) {
                Some(nonce) if *nonce != logged.nonce => Step::Other(Leap::Fork),
                _ => Step::Repeated,
            };
        }
        if logged.seq != self.cursor + 1 {
            return Step::Missing;
        }
        if self.applied.back().is_some_and(|last| *last != logged.previous) {
            return Step::Other(Leap::Fork);
        }
        self.cursor = logged.seq;
        if self.applied.len() == REMEMBERED_MAX {
            self.applied.pop_front();
        }
        self.applied.push_back(logged.nonce.clone());
        Step::Apply
    }

    /// The nonces remembered, the newest last.
    #[cfg(test)]
    pub(super) fn nonces(&self) -> impl Iterator<Item = &Nonce> {
        self.applied.iter()
    }

    fn nonce(&self, seq: Seq) -> Option<&Nonce> {
        let back = usize::try_from(self.cursor.checked_sub(seq)?).ok()?;
        self.applied.get(self.applied.len().checked_sub(back + 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Token;
    use crate::model::Event;

    fn lineage() -> LineageId {
        LineageId::new("a")
    }

    fn head(seq: Seq) -> Head {
        Head { token: Token { lineage: lineage(), seq }, nonce: nonce(seq), time_us: 0, called: 0 }
    }

    fn nonce(seq: Seq) -> Nonce {
        Nonce::new(&format!("n{seq}"))
    }

    fn event(seq: Seq) -> Logged {
        let event = Event::hard(vec![]);
        Logged { seq, previous: nonce(seq - 1), nonce: nonce(seq), event, confirm: false, at_us: 0 }
    }

    fn following(from: Seq) -> Follower {
        let mut follower = Follower::default();
        follower.begin(&head(from));
        follower
    }

    #[test]
    fn events_in_order_are_applied_once() {
        let mut follower = following(10);
        assert_eq!(follower.announced(&lineage(), &event(11)), Step::Apply);
        assert_eq!(follower.announced(&lineage(), &event(12)), Step::Apply);
        assert_eq!(follower.announced(&lineage(), &event(11)), Step::Repeated);
        assert_eq!(follower.announced(&lineage(), &event(5)), Step::Repeated);
        assert_eq!(follower.cursor(), 12);
    }

    #[test]
    fn a_gap_is_read_from_the_log_and_a_trimmed_one_is_known_as_such() {
        let mut follower = following(10);
        assert_eq!(follower.announced(&lineage(), &event(13)), Step::Missing);
        assert_eq!(follower.cursor(), 10);
        for seq in 11..=13 {
            assert_eq!(follower.read(&event(seq)), Step::Apply);
        }
        assert_eq!(follower.read(&event(20)), Step::Trimmed);
        follower.skip(&head(20));
        assert_eq!(follower.announced(&lineage(), &event(21)), Step::Apply);
    }

    #[test]
    fn the_same_numbers_for_other_events_are_a_fork() {
        let other = |seq: Seq| Logged { nonce: Nonce::new("x"), ..event(seq) };
        let mut follower = following(10);
        assert_eq!(follower.read(&event(11)), Step::Apply);
        assert_eq!(follower.announced(&lineage(), &other(11)), Step::Other(Leap::Fork));
        let unchained = Logged { previous: Nonce::new("x"), ..event(12) };
        assert_eq!(follower.announced(&lineage(), &unchained), Step::Other(Leap::Fork));
        let forked = Head { nonce: Nonce::new("x"), ..head(11) };
        assert_eq!(follower.head(&forked), Progress::Other(Leap::Fork));
    }

    #[test]
    fn a_head_is_proof_only_once_it_is_reached() {
        let mut follower = Follower::default();
        assert_eq!(follower.head(&head(10)), Progress::Other(Leap::Start));
        follower.begin(&head(10));
        assert_eq!(follower.head(&head(10)), Progress::Level);
        assert_eq!(follower.head(&head(12)), Progress::Behind(12));
        assert_eq!(follower.head(&head(9)), Progress::Level);
        let other = Head { token: Token { lineage: LineageId::new("b"), seq: 10 }, ..head(10) };
        assert_eq!(follower.head(&other), Progress::Other(Leap::Lineage));
        assert_eq!(follower.announced(&LineageId::new("b"), &event(11)), Step::Other(Leap::Lineage));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_old_repeats_are_still_repeats() {
        let mut follower = following(0);
        for seq in 1..=(REMEMBERED_MAX as u64 + 10) {
            assert_eq!(follower.read(&event(seq)), Step::Apply);
        }
        assert_eq!(follower.applied.len(), REMEMBERED_MAX);
        assert_eq!(follower.read(&event(1)), Step::Repeated);
    }
}
