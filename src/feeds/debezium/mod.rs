//! Debezium Server's Redis sink: streams of change records, read by a consumer group of the instances.
//!
//! An entry is acknowledged once its event is in the log. What an instance took and did not acknowledge another takes over,
//! and the entry's id keeps it from being logged twice.

mod mapping;
mod record;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use mapping::{Mapping, Template, TemplateError};

use super::Gauges;
use super::gather::Gather;
use crate::backend::{BackendError, StreamEntry, Streams};
use crate::coherence::form::FormError;
use crate::coherence::{Coherence, Door, PublishError};
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::Throttle;
use mapping::Meaning;

/// The longest wait for the next entry: a connection that died unseen is found after it.
const WAIT: Duration = Duration::from_secs(1);
/// An instance that took an entry and did not finish it for so long has lost it to another.
const ADOPT_AFTER: Duration = Duration::from_secs(5);
/// After a batch that the log did not take, at first and at the most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// One `[[sources]]` of `kind = "debezium"`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For logs, and part of every event's `request_id`.
    pub name: String,
    /// Which table's rows are cached where.
    pub mappings: Vec<Mapping>,
    /// What the sink writes in place of a key or value that is null.
    pub null: String,
    /// Records of a snapshot, which say what is there and not that it has changed, are passed over.
    pub ignore_snapshot: bool,
    /// Entries taken at once.
    pub batch: usize,
}

/// A source that is read as long as its stage runs.
pub struct Source {
    settings: Settings,
    streams: Box<dyn Streams>,
    coherence: Arc<Coherence>,
    gauges: Gauges,
    throttle: Throttle,
}

impl Source {
    /// Reads nothing yet.
    pub fn new(
        settings: Settings,
        streams: impl Streams + 'static,
        coherence: &Arc<Coherence>,
        gauges: Gauges,
    ) -> Self {
        let (streams, coherence) = (Box::new(streams), Arc::clone(coherence));
        Self { settings, streams, coherence, gauges, throttle: Throttle::default() }
    }

    /// Hands it to the supervisor, which begins anew where the server was lost.
    pub fn start(self, supervisor: &Supervisor) {
        let source = Arc::new(self);
        supervisor.task(Stage::Coherence, "feeds.debezium", move |stop| {
            let source = Arc::clone(&source);
            async move {
                let ended = Box::pin(source.run(&stop)).await;
                if !stop.is_cancelled() {
                    source.gauges.reached(false);
                }
                ended.map_err(|error| format!("source `{}`: {error}", source.settings.name).into())
            }
        });
    }

    async fn run(&self, stop: &CancellationToken) -> Result<(), BackendError> {
        let consumer = self.coherence.member();
        let mut adopt_at = Instant::now();
        let mut reached = false;
        // A wait is not broken off: what the server hands out meanwhile would wait for another instance.
        while !stop.is_cancelled() {
            let adopting = adopt_at <= Instant::now();
            let entries = if adopting {
                self.streams.adopt(consumer, self.settings.batch, ADOPT_AFTER).await?
            } else {
                self.streams.read(consumer, self.settings.batch, WAIT).await?
            };
            // As many as were asked for means that there are more.
            if adopting && entries.len() < self.settings.batch {
                adopt_at = Instant::now() + ADOPT_AFTER;
            }
            if !reached {
                reached = true;
                self.gauges.reached(true);
                info!(source.name = %self.settings.name, "reading the streams");
            }
            if !self.publish_all(&entries, stop).await {
                return Ok(());
            }
            self.streams.done(&entries).await?;
        }
        self.streams.leave(consumer).await
    }

    /// Publishes until the log has all of it. False: stopped before.
    async fn publish_all(&self, entries: &[StreamEntry], stop: &CancellationToken) -> bool {
        if entries.is_empty() {
            return true;
        }
        // What is wrong with an entry is counted once, however often it is tried.
        let meanings: Vec<_> = entries.iter().map(|entry| (entry, self.meaning(entry))).collect();
        let mut pause = PAUSE;
        while let Err(error) = self.publish(&meanings).await {
            if let Some(suppressed) = self.throttle.pass() {
                let name = &self.settings.name;
                warn!(source.name = %name, error = %error, suppressed, "changes wait in their streams for the log");
            }
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return false;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        true
    }

    async fn publish(&self, meanings: &[(&StreamEntry, Meaning)]) -> Result<(), PublishError> {
        let mut gather = Gather::new(&self.coherence, Door::Debezium);
        for (entry, meaning) in meanings {
            if let Some(event) = &meaning.event {
                let id = format!("{}/{}/{}", self.settings.name, entry.stream, entry.id);
                gather.add(event.clone(), &id).await?;
            }
        }
        gather.finish().await
    }

    /// What an entry says. What is malformed is counted, and passed over.
    fn meaning(&self, entry: &StreamEntry) -> Meaning {
        let meaning = match record::read(&entry.fields, &self.settings.null) {
            Ok(record) => mapping::meaning(&self.settings, &entry.stream, &record),
            Err(error) => Meaning { event: None, faults: vec![error] },
        };
        for fault in &meaning.faults {
            self.reject(entry, fault);
        }
        if let Some(written) = meaning.event.as_ref().and_then(|_| entry.id.split('-').next()?.parse().ok()) {
            let now: u64 = self.coherence.server_ms(self.coherence.clock().now());
            self.gauges.lag(Duration::from_millis(now.saturating_sub(written)).as_secs_f64());
        }
        meaning
    }

    fn reject(&self, entry: &StreamEntry, fault: &FormError) {
        self.coherence.count_rejected(fault);
        if let Some(suppressed) = self.throttle.pass() {
            warn!(
                source.name = %self.settings.name,
                stream.name = %entry.stream,
                entry.id = %entry.id,
                error = %fault,
                suppressed,
                "a malformed change record was passed over"
            );
        }
    }
}

#[cfg(test)]
mod tests;
