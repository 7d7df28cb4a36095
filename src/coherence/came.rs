//! How the last events came here and how late, for whoever asks about one of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Path;
use crate::model::Seq;

/// Events remembered of a shard.
const EVENTS_MAX: usize = 4096;

/// One shard's last events.
#[derive(Debug, Default)]
pub(super) struct Came(Mutex<VecDeque<(Seq, Path, Duration)>>);

impl Came {
    /// The event was applied, so long after it was logged.
    pub(super) fn note(&self, seq: Seq, path: Path, lag: Duration) {
        let mut events = self.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back((seq, path, lag));
    }

    /// By which way it came and how late, if it is remembered.
    pub(super) fn of(&self, seq: Seq) -> Option<(Path, Duration)> {
        // The newest first: a new history may use a number again.
        self.lock().iter().rev().find(|(of, ..)| *of == seq).map(|(_, path, lag)| (*path, *lag))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Seq, Path, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_no_more() {
        let came = Came::default();
        for seq in 0..10_000 {
            came.note(seq, Path::Pubsub, Duration::from_millis(seq));
        }
        came.note(9_999, Path::Stream, Duration::ZERO);
        assert_eq!(came.of(9_998), Some((Path::Pubsub, Duration::from_millis(9_998))));
        assert_eq!(came.of(9_999), Some((Path::Stream, Duration::ZERO)));
        assert_eq!((came.of(10_000), came.of(5_000)), (None, None));
        assert_eq!(came.lock().len(), EVENTS_MAX);
    }
}
