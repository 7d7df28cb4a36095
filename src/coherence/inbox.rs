//! Events from outside: the inbox stream (durable) and the inbox channel (best effort), logged through the same door as
//! all others. What is malformed is counted and passed over; it blocks nothing behind it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use xxhash_rust::xxh3::xxh3_128;

use super::form::{self, FormError};
use super::publish::Terms;
use super::tail::Message;
use super::{Coherence, Door};
use crate::backend::{BackendError, InboxEntry};
use crate::model::Event;
use crate::telemetry::Throttle;
use crate::telemetry::labels::RejectReason;

/// Entries taken at once.
const BATCH_MAX: usize = 256;
/// The longest wait for the next entry: a connection that died unseen is found after it.
const WAIT: Duration = Duration::from_secs(1);
/// A member that took an entry and did not finish it for so long has lost it to another.
const ADOPT_AFTER: Duration = Duration::from_secs(5);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// Logs what arrives on the stream, until stopped.
pub(super) async fn stream(coherence: Arc<Coherence>, stop: CancellationToken) {
    let backend = coherence.backend();
    let consumer = coherence.member();
    let throttle = Throttle::default();
    let mut adopt_at = tokio::time::Instant::now();
    loop {
        let adopting = adopt_at <= tokio::time::Instant::now();
        let taking = async {
            if adopting {
                backend.inbox_adopt(consumer, BATCH_MAX, ADOPT_AFTER).await
            } else {
                backend.inbox(consumer, BATCH_MAX, WAIT).await
            }
        };
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            taken = taking => taken,
        };
        let done = match taken {
            Ok(entries) => {
                // A full batch of abandoned entries means that there are more.
                if adopting && entries.len() < BATCH_MAX {
                    adopt_at = tokio::time::Instant::now() + ADOPT_AFTER;
                }
                log_all(&coherence, entries, &throttle).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            debug!(error = %error, "the inbox waits for the backend");
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(PAUSE) => {}
            }
        }
    }
}

/// Logs entries and finishes those that are logged or will never be.
async fn log_all(
    coherence: &Coherence,
    entries: Vec<InboxEntry>,
    throttle: &Throttle,
) -> Result<(), BackendError> {
    let mut finished = Vec::new();
    let mut events = Vec::new();
    for InboxEntry { id, fields } in entries {
        match form::from_fields(fields.iter().map(|(name, value)| (&**name, &**value))) {
            Ok(event) => events.push((id, event)),
            Err(error) => {
                reject(coherence, &error, throttle);
                finished.push(id);
            }
        }
    }
    let logging = events.into_iter().map(|(id, event)| async move {
        let logged = coherence.publish(event, &Terms::of(Door::Inbox)).await;
        (id, logged.map(|_| ()))
    });
    let mut failure = None;
    for (id, logged) in join_all(logging).await {
        match logged {
            Ok(()) => finished.push(id),
            // Left with the group: it is adopted again.
            Err(error) => failure = Some(error),
        }
    }
    if !finished.is_empty() {
        coherence.backend().inbox_done(&finished).await?;
    }
    match failure {
        Some(error) => Err(BackendError::Unavailable(error.to_string())),
        None => Ok(()),
    }
}

/// Logs what was heard on the channel, until stopped.
///
/// Every member hears every message, and each logs it: none can know whether another will. The message's hash is its
/// `request_id`, so one event comes of it; but only an event logged after the message was sent may stand for it.
/// Whatever was announced before it on the same connection, or not at all, was not.
pub(super) async fn channel(
    coherence: &Coherence,
    heard: &mut mpsc::Receiver<Message>,
    stop: &CancellationToken,
) {
    let throttle = Throttle::default();
    loop {
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            message = heard.recv() => match message {
                Some(message) => message,
                None => return,
            },
        };
        let Message { payload, room: _held, after } = message;
        let event = match form::from_message(&payload) {
            Ok(event) => event,
            Err(error) => {
                reject(coherence, &error, &throttle);
                continue;
            }
        };
        let by_content = event.request_id.is_none();
        let request_id =
            event.request_id.clone().unwrap_or_else(|| format!("pubsub:{:032x}", xxh3_128(&payload)));
        let event = Event { request_id: Some(request_id), ..event };
        let repeat_after = if by_content { after } else { Vec::new() };
        let terms = Terms { repeat_after, ..Terms::of(Door::Pubsub) };
        if let Err(error) = coherence.publish(event, &terms).await {
            coherence.count_dropped(RejectReason::Unavailable);
            if let Some(suppressed) = throttle.pass() {
                warn!(error = %error, suppressed, "a message of the inbox channel was not logged by this instance");
            }
        }
    }
}

fn reject(coherence: &Coherence, error: &FormError, throttle: &Throttle) {
    coherence.count_rejected(error);
    if let Some(suppressed) = throttle.pass() {
        warn!(error = %error, suppressed, "a malformed event was dropped");
    }
}
