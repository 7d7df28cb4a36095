//! The coherence monitor: follows up a share of what was answered from copies and of the events that were applied, a
//! while later and away from every request, and says whether the promise was kept.
//!
//! What it goes by is not what the read path went by. Of an answer the log itself is asked which event was the first to
//! name the key after those that the copy had seen: one that was logged before the reader came made the answer older
//! than it might have been, within `max_staleness` or beyond. Of an event the copies are asked for that would be answered
//! now: none may be older than it. And once a second at the most the origin is asked, between two looks at the copy that
//! would be answered: where it says something else than a copy that no event has named meanwhile, either it was changed
//! without an event, or the copy is not what was loaded.
//!
//! It sees the copies of this instance and of L2; what others answer they look after themselves. All instances choose
//! the same events.

mod check;
mod log;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::copy::Copy;
use super::reader::{Read, Reader};
use super::space::Space;
use crate::backend::Logged;
use crate::clock::Boot;
use crate::model::{Key, Shard};
use crate::supervisor::Stage;
use crate::telemetry::labels::CheckResult;
use crate::telemetry::trace::threshold;
use crate::telemetry::{By, Counter};

/// What waits to be followed up; what more is drawn is left alone.
const WAITING_MAX: usize = 1024;
/// Beyond `max_staleness`: how long after an answer or an event it is looked at.
const AFTER: Duration = Duration::from_secs(1);
/// The origin is asked no more often.
const ORIGIN_EVERY: Duration = Duration::from_secs(1);
/// Once it may be asked, one in so many is asked about, until it has not been for as long again: of readers that come in
/// step with that second, the same key would always be the first.
const ONE_IN: u8 = 4;

/// Draws what is followed up.
pub(super) struct Monitor {
    /// A draw below it falls on what is followed up.
    threshold: u64,
    sightings: mpsc::Sender<Sighting>,
}

/// An answer that was given from a copy.
pub(super) struct Sighting {
    space: Arc<Space>,
    key: Key,
    shard: Shard,
    copy: Arc<Copy>,
    arrived: Boot,
}

/// What is to be looked at.
enum Subject {
    Answer(Sighting),
    Event(Shard, Box<Logged>),
}

/// What a restarted task goes on with.
struct Waiting {
    sightings: mpsc::Receiver<Sighting>,
    events: mpsc::Receiver<(Shard, Logged)>,
    due: VecDeque<(Instant, Subject)>,
    /// When the origin may be asked again, and the log be read for nothing.
    origin_at: Instant,
    checks: By<CheckResult, Counter>,
}

/// Whether the origin is asked about what is looked at now.
fn asks(from: Instant, now: Instant) -> bool {
    from <= now && (from + ORIGIN_EVERY <= now || rand::random_ratio(1, ONE_IN.into()))
}

impl Monitor {
    fn answered(&self, read: &Read<'_>, copy: &Arc<Copy>) {
        if self.threshold <= rand::random() || copy.dirty {
            return;
        }
        let (space, copy) = (Arc::clone(read.space), Arc::clone(copy));
        let Read { key, shard, arrived, .. } = *read;
        // What has no room is left alone.
        drop(self.sightings.try_send(Sighting { space, key: key.clone(), shard, copy, arrived }));
    }
}

impl Reader {
    /// A copy is about to be answered as valid and fresh.
    pub(super) fn seen(&self, read: &Read<'_>, copy: &Arc<Copy>) {
        if let Some(monitor) = self.monitor.get() {
            monitor.answered(read, copy);
        }
    }

    /// From here on that share of answers and events is followed up, by a task that is handed to the supervisor. Once.
    pub(super) fn monitored(self: &Arc<Self>, share: f64, checks: By<CheckResult, Counter>) {
        let threshold = threshold(share);
        let (sender, sightings) = mpsc::channel(WAITING_MAX);
        if threshold == 0 || self.monitor.set(Monitor { threshold, sightings: sender }).is_err() {
            return;
        }
        let events = self.coherence.sampled(threshold, WAITING_MAX);
        let waiting = Waiting { sightings, events, due: VecDeque::new(), origin_at: Instant::now(), checks };
        let waiting = Arc::new(Mutex::new(waiting));
        let reader = Arc::clone(self);
        self.supervisor.task(Stage::Load, "cache.monitor", move |stop| {
            let (reader, waiting) = (Arc::clone(&reader), Arc::clone(&waiting));
            async move {
                reader.follow_up(&mut *waiting.lock().await, &stop).await;
                Ok(())
            }
        });
    }

    async fn follow_up(self: &Arc<Self>, waiting: &mut Waiting, stop: &CancellationToken) {
        let longest =
            self.spaces.values().map(|space| space.settings.max_staleness).max().unwrap_or_default();
        loop {
            let room = waiting.due.len() < WAITING_MAX;
            let next = waiting.due.front().map(|(due, _)| *due);
            // All wait for as long, so that the first is due first.
            let due = Instant::now() + longest + AFTER;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if let Some((_, subject)) = waiting.due.pop_front() {
                        let ask = asks(waiting.origin_at, Instant::now());
                        let (result, asked) = self.look_at(&subject, ask).await;
                        waiting.checks.of(result).inc();
                        if asked {
                            waiting.origin_at = Instant::now() + ORIGIN_EVERY;
                        }
                    }
                }
                Some(sighting) = waiting.sightings.recv(), if room => {
                    waiting.due.push_back((due, Subject::Answer(sighting)));
                }
                Some((shard, logged)) = waiting.events.recv(), if room => {
                    waiting.due.push_back((due, Subject::Event(shard, Box::new(logged))));
                }
            }
        }
    }
}
