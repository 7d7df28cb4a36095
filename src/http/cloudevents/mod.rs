//! `POST /v1/events`: CloudEvents 1.0 whose data is an event of ours, alone or many in one body.

mod envelope;

use std::collections::BTreeMap;
use std::fmt;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use super::Settings;
use super::auth::Tokens;
use super::body::Body;
use super::front::{Call, too_slow};
use super::problem::Problem;
use super::reply::{self, LOG_ID, text_value};
use crate::coherence::form::FormError;
use crate::coherence::{Coherence, Door, PublishError, Receipt, Terms};
use crate::model::{Event, LogId};

/// Most events of a batch.
const BATCH_MAX: usize = 1000;
/// Events of a batch that are logged at the same time.
const AT_ONCE: usize = 64;

/// Publishes what a request says: all of it, or nothing where anything is wrong with it. Where the log fails in the middle of
/// a batch the publisher sends it again: what was logged is known by its `id` and `source`.
pub(super) async fn publish(
    coherence: &Coherence,
    tokens: &Tokens,
    settings: &Settings,
    call: &Call,
) -> Result<Response<Body>, Problem> {
    let said = envelope::read(&call.headers, &call.body).map_err(|refused| {
        coherence.count_rejected(&refused.error);
        refused.into_problem()
    })?;
    let caller = tokens.caller(&call.headers)?;
    said.events().iter().try_for_each(|event| caller.check_event(event))?;
    let limit = settings.request_timeout;
    let logged = timeout(limit, log(coherence, said.events())).await.map_err(|_| too_slow(limit))?;
    let receipts = logged.map_err(|error| reply::publish_refused(&error))?;
    Ok(accepted(&said, &receipts))
}

/// What a request says, in words: see [`super::fuzzing`].
pub(super) fn read(call: &Call) -> Result<String, Problem> {
    let said = envelope::read(&call.headers, &call.body).map_err(Refused::into_problem)?;
    Ok(format!("{said:?}"))
}

async fn log(coherence: &Coherence, events: &[Event]) -> Result<Vec<Receipt>, PublishError> {
    let terms = Terms::of(Door::CloudEvents);
    let logging: Vec<_> = events.iter().cloned().map(|event| coherence.publish(event, &terms)).collect();
    stream::iter(logging).buffered(AT_ONCE).try_collect().await
}

/// What a body says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// One event.
    One([Event; 1]),
    /// A batch, empty perhaps.
    Many(Vec<Event>),
}

impl Said {
    fn events(&self) -> &[Event] {
        match self {
            Self::One(event) => event,
            Self::Many(events) => events,
        }
    }
}

/// Why a body is refused, and which of its events is to blame.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    /// In a batch, from 0.
    at: Option<usize>,
    error: FormError,
}

impl Refused {
    fn malformed(why: impl fmt::Display) -> Self {
        Self { at: None, error: FormError::malformed(&why) }
    }

    fn into_problem(self) -> Problem {
        let problem = reply::form_refused(&self.error);
        let Some(at) = self.at else { return problem };
        let detail = format!("event {at} of the batch: {}", problem.detail());
        Problem::new(problem.code(), detail).with_member("event", json!(at))
    }
}

impl From<FormError> for Refused {
    fn from(error: FormError) -> Self {
        Self { at: None, error }
    }
}

/// 202: the log has them.
fn accepted(said: &Said, receipts: &[Receipt]) -> Response<Body> {
    let ids: Vec<String> = receipts.iter().map(|receipt| receipt.id.to_string()).collect();
    let mut document = match said {
        Said::One(_) => json!({ "id": ids.first(), "applied": [], "missing": [] }),
        Said::Many(_) => json!({ "ids": ids, "applied": [], "missing": [] }),
    };
    let widened: BTreeMap<_, _> = receipts.iter().flat_map(|receipt| &receipt.widened).collect();
    if !widened.is_empty() {
        document["widened"] = json!(widened);
    }
    let mut response = reply::json(StatusCode::ACCEPTED, &document);
    if let Some(last) = last(receipts.iter().map(|receipt| &receipt.id)) {
        response.headers_mut().insert(LOG_ID, text_value(&last.to_string()));
    }
    response
}

/// The newest number of each shard: whoever has read up to there has read all of them.
fn last<'a>(ids: impl Iterator<Item = &'a LogId>) -> Option<LogId> {
    let mut newest = BTreeMap::new();
    for (shard, seq) in ids.flat_map(LogId::parts) {
        let known = newest.entry(*shard).or_insert(*seq);
        *known = (*known).max(*seq);
    }
    (!newest.is_empty()).then(|| LogId::new(newest.into_iter().collect()))
}

#[cfg(test)]
mod tests;
