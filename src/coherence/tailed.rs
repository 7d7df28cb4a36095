//! What one shard's events come to here: its view moves, whoever waits is told, what was seen is counted.

use tokio::time::Instant;
use tracing::info;

use super::core::{Following, Gap, Heard, Leap, Memory};
use super::meter::Meter;
use super::shared::Shared;
use super::traced;
use super::{Notice, Path};
use crate::backend::{Head, Logged, Token};
use crate::clock::Boot;
use crate::model::{LineageId, LogId, Seq, Shard};

/// One shard's follower and what was heard of it.
pub(super) struct Tailed {
    pub(super) shard: Shard,
    pub(super) following: Following,
    /// Read the log unless the cursor gets there by itself.
    pub(super) read_at: Option<Instant>,
    /// The last event announced, and its lineage.
    pub(super) announced: Option<(LineageId, Seq)>,
    /// What was seen, where that is remembered.
    memory: Option<Memory>,
    /// Since when events may have been logged that were never announced here, unless the cursor has passed them since.
    pub(super) unheard: Option<Boot>,
}

/// The log does not lead on from what was applied: a heartbeat is to be sent.
pub(super) struct Unreadable;

impl Tailed {
    pub(super) fn new(shard: Shard, began: Boot) -> Self {
        Self {
            shard,
            following: Following::default(),
            read_at: None,
            announced: None,
            memory: None,
            unheard: Some(began),
        }
    }

    /// Events read from the log, the first after the cursor or right after the one before.
    pub(super) fn read(&mut self, shared: &Shared, page: &[Logged]) -> Result<(), Unreadable> {
        let state = shared.shard(self.shard);
        for logged in page {
            let now = shared.clock.now();
            match self.following.read(&state.view, logged, now) {
                Heard::Applied => self.applied(shared, logged, Path::Stream, now),
                Heard::Passed => {}
                Heard::Missing | Heard::Trimmed => {
                    shared.metrics.count_gap(Gap::Trimmed);
                    state.kick.notify_one();
                    return Err(Unreadable);
                }
                Heard::Other => {
                    state.kick.notify_one();
                    return Err(Unreadable);
                }
            }
        }
        Ok(())
    }

    /// An event with a higher number was logged after whatever is heard next on the subscription was sent: all before it
    /// were announced on it, or have been read. Where that is not sure, every number counts.
    pub(super) fn heard_up_to(&self) -> Seq {
        if self.unheard.is_some() || self.following.wants_head() {
            return Seq::MAX;
        }
        self.announced.as_ref().map_or(0, |(_, seq)| *seq).max(self.following.cursor())
    }

    /// The cursor is at the head of a heartbeat that was sent at `sent`, or beyond.
    pub(super) fn caught_up(&mut self, sent: Boot) {
        self.unheard.take_if(|since| *since <= sent);
    }

    /// The view has moved to a head without what lies before it.
    pub(super) fn leapt(&mut self, shared: &Shared, begun: Option<Leap>, sent: Boot, head: &Head) {
        let state = shared.shard(self.shard);
        self.read_at = None;
        self.caught_up(sent);
        self.remember(shared, begun, head);
        state.recent.note(head.token.seq, shared.clock.now());
        if let Some(leap) = begun {
            if leap != Leap::Start {
                info!(shard = self.shard.0, cause = ?leap, "another history: everything held is asked for again");
            }
            shared.metrics.count_resync(leap);
            state.follow(&head.token, shared.clock.now());
        }
        state.moved.notify_waiters();
    }

    /// What is remembered of the lineage before is told, and what is seen in this one remembered.
    fn remember(&mut self, shared: &Shared, begun: Option<Leap>, head: &Head) {
        let Some(tells) = shared.left.get() else { return };
        let Token { lineage, seq } = &head.token;
        if begun.is_none()
            && let Some(memory) = &mut self.memory
        {
            memory.skip(*seq);
            return;
        }
        let before = self.memory.replace(Memory::begin(lineage.clone(), *seq));
        if let Some(before) = before.filter(|it| it.lineage() != lineage) {
            // Without room nothing is said, and what is in L2 is dropped.
            drop(tells.try_send((self.shard, before)));
        }
    }

    /// An event that was here at `now` is applied: whoever waits for it is told, and confirmations may follow.
    pub(super) fn applied(&mut self, shared: &Shared, logged: &Logged, path: Path, now: Boot) {
        let state = shared.shard(self.shard);
        state.recent.note_when(logged.seq, || shared.clock.now());
        if let Some(memory) = &mut self.memory {
            memory.note(logged.seq, &logged.event);
        }
        if self.following.all_proven() {
            self.read_at = None;
        }
        state.learn(logged.seq);
        state.moved.notify_waiters();
        if logged.confirm {
            state.to_confirm.send_replace(logged.seq);
            shared.confirmations.notify_waiters();
        }
        let lag = shared.observe_lag(self.shard, logged, now);
        state.came.note(logged.seq, path, lag);
        traced::applied(shared, self.shard, logged, path, lag);
        if let Some(sample) = shared.sample.get() {
            sample.offer(self.shard, logged);
        }
        shared.metrics.count_applied(&logged.event, path);
        if shared.notices.receiver_count() != 0 {
            let id = LogId::new(vec![(self.shard, logged.seq)]);
            let notice =
                Notice::Applied { id, event: logged.event.clone(), at_ms: logged.at_us / 1000, path };
            // Without receivers a notice is dropped, as it should be.
            drop(shared.notices.send(notice));
        }
    }
}
