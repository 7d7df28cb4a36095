//! When the events of the last while were applied here, for loads that may have read a replica of the origin which had
//! not seen them (`origin_lag`).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Boot;
use crate::model::Seq;

/// Into so many pieces the remembered time is cut: how far off an answer may be, and how much is kept.
const PIECES: u32 = 64;

/// One shard's events of the last `within`, in pieces of time.
#[derive(Debug)]
pub(super) struct Recent {
    within: Duration,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    pieces: VecDeque<Piece>,
    /// Everything before the first piece was applied by then.
    forgotten: Boot,
}

/// Events applied about the same time.
#[derive(Clone, Copy, Debug)]
struct Piece {
    first: (Seq, Boot),
    last: (Seq, Boot),
}

impl Recent {
    /// Remembers for so long; for no time nothing is kept.
    pub(super) fn new(within: Duration) -> Self {
        Self { within, known: Mutex::new(Known { pieces: VecDeque::new(), forgotten: Boot::NEVER }) }
    }

    /// The same as [`Self::note`], where the time is only asked for if it is kept.
    pub(super) fn note_when(&self, seq: Seq, now: impl FnOnce() -> Boot) {
        if !self.within.is_zero() {
            self.note(seq, now());
        }
    }

    /// Events up to `seq` are applied now. Until it is called, they count as not applied yet.
    pub(super) fn note(&self, seq: Seq, now: Boot) {
        if self.within.is_zero() {
            return;
        }
        let Known { pieces, forgotten } = &mut *self.lock();
        match pieces.back_mut() {
            Some(piece) if now.since(piece.first.1) < self.within / PIECES => piece.last = (seq, now),
            _ => pieces.push_back(Piece { first: (seq, now), last: (seq, now) }),
        }
        // The last piece stays: what lies before the first one kept is older than `within`.
        while 1 < pieces.len()
            && let Some(piece) = pieces.pop_front_if(|piece| self.within < now.since(piece.last.1))
        {
            *forgotten = piece.last.1;
        }
    }

    /// When the event was applied, at the latest: for one that is not remembered that is longer ago than what is, for one
    /// that is not applied yet it is `now`.
    pub(super) fn when(&self, seq: Seq, now: Boot) -> Boot {
        let Known { pieces, forgotten } = &*self.lock();
        match pieces.iter().find(|piece| seq <= piece.last.0) {
            // Between two pieces: an event of a jump ahead, applied with the piece's first.
            Some(piece) if seq <= piece.first.0 => match pieces.front() {
                Some(front) if seq < front.first.0 => *forgotten,
                _ => piece.first.1,
            },
            Some(piece) => piece.last.1,
            None => now,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_millis(6400);

    fn at(ms: u64) -> Boot {
        Boot::NEVER + Duration::from_millis(ms)
    }

    #[test]
    fn an_event_was_applied_no_later_than_is_said_and_little_earlier() {
        let recent = Recent::new(WITHIN);
        for n in 0..1000 {
            recent.note(n, at(10 * n));
        }
        let now = at(10_000);
        for n in 400..1000 {
            let said = recent.when(n, now);
            assert!(at(10 * n) <= said && said <= at(10 * n + 100), "{n}: {said:?}");
        }
        // A load that took longer than is remembered may not take it for older than it is.
        for n in [0, 100, 300] {
            let said = recent.when(n, now);
            assert!(at(10 * n) <= said && said < at(10_000) - WITHIN, "{n}, long ago: {said:?}");
        }
        assert_eq!(recent.when(1000, now), now, "not yet");
        let pieces = recent.lock().pieces.len();
        assert!(pieces <= 66, "{pieces} pieces");
    }

    #[test]
    fn what_is_skipped_counts_as_applied_with_what_was_skipped_to() {
        let recent = Recent::new(WITHIN);
        recent.note(10, at(1000));
        recent.note(50, at(3000));
        assert_eq!((recent.when(10, at(3000)), recent.when(30, at(3000))), (at(1000), at(3000)));
        assert_eq!((recent.when(50, at(3000)), recent.when(9, at(3000))), (at(3000), Boot::NEVER));
    }

    #[test]
    fn the_last_is_known_however_long_ago() {
        let recent = Recent::new(WITHIN);
        recent.note(10, at(1000));
        assert_eq!(recent.when(10, at(1_000_000)), at(1000));
        recent.note(11, at(1_000_000));
        assert_eq!(recent.when(10, at(1_000_000)), at(1000));
    }

    #[test]
    fn nothing_is_kept_where_nobody_asks() {
        let recent = Recent::new(Duration::ZERO);
        recent.note(10, at(1000));
        assert!(recent.lock().pieces.is_empty());
    }
}
