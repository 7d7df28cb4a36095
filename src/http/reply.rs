//! From what the cache and the log answer to what a client gets: the one place that knows both.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{
    AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, RETRY_AFTER,
};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::Body;
use super::brief::Brief;
use super::cache_status::whole_seconds;
use super::problem::{Code, Problem};
use super::{cache_status, conditional};
use crate::cache::{Answer, BackendError, GetError, OriginError, PutError};
use crate::coherence::PublishError;
use crate::coherence::form::FormError;
use crate::guard::LeftAlone;
use crate::model::{Content, LogId, Value};

/// `Cache-Status`.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// `Coherd-Lease`: the right to load a key, and to store it.
pub(super) const LEASE: HeaderName = HeaderName::from_static("coherd-lease");
/// `Coherd-Log-Id`: the event behind a change.
pub(super) const LOG_ID: HeaderName = HeaderName::from_static("coherd-log-id");

/// Room for headers that one request takes over from the one before.
const HEADERS_KEPT_MAX: usize = 24;

/// The answer to a read of one key; `asked` are the request's headers, whose memory the answer's take over.
pub(super) fn read(result: Result<Answer, GetError>, asked: HeaderMap) -> Result<Response<Body>, Problem> {
    let answer = result.map_err(|error| get_refused(&error))?;
    let status = cache_status::of_answer(&answer);
    let value = match &answer.entry.content {
        Content::Present(value) => value,
        Content::Absent => {
            let mut response = missing().into_response();
            times(response.headers_mut(), &answer);
            response.headers_mut().insert(CACHE_STATUS, status);
            return Ok(response);
        }
    };
    let unchanged = value.etag.as_deref().is_some_and(|etag| conditional::none_match_holds(&asked, etag));
    let mut response =
        if unchanged { Response::new(Body::empty()) } else { Response::new(Body::from(value.body.clone())) };
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let mut headers = emptied(asked);
    times(&mut headers, &answer);
    headers.insert(CACHE_STATUS, status);
    value_headers(&mut headers, value, unchanged);
    *response.headers_mut() = headers;
    Ok(response)
}

/// Why a read has no answer.
pub(super) fn get_refused(error: &GetError) -> Problem {
    let detail = error.to_string();
    let (problem, status) = match error {
        GetError::Missing { lease: None } => (missing(), "coherd; fwd=miss".to_owned()),
        GetError::Missing { lease: Some(lease) } => (
            missing().with_header(LEASE, text_value(&lease.token)),
            "coherd; fwd=miss; detail=lease".to_owned(),
        ),
        GetError::NotCached => {
            (Problem::new(Code::NotCached, detail), "coherd; detail=not-cached".to_owned())
        }
        GetError::Unavailable(_) => {
            (Problem::new(Code::Unavailable, detail), "coherd; detail=unavailable".to_owned())
        }
        GetError::Origin(origin) => {
            let code = match origin {
                OriginError::Status(_) | OriginError::Failed(_) | OriginError::Unusable(_) => {
                    Code::OriginFailed
                }
                OriginError::TimedOut => Code::OriginTimeout,
                OriginError::Overloaded => Code::Overloaded,
                OriginError::LeftAlone(_) => Code::Unavailable,
            };
            let problem = Problem::new(code, detail);
            let problem = match origin {
                OriginError::LeftAlone(left_alone) => come_back(problem, left_alone),
                _ => problem,
            };
            (problem, cache_status::of_origin_error(origin))
        }
    };
    problem.with_header(CACHE_STATUS, text_value(&status))
}

/// Why a write was not done.
pub(super) fn put_refused(error: &PutError) -> Problem {
    let code = match error {
        PutError::LeaseLost => Code::LeaseLost,
        PutError::Off => Code::WriteOff,
        PutError::TooLarge(_) => Code::TooLarge,
        PutError::Backend(error) => return unavailable(error, error.to_string()),
    };
    Problem::new(code, error.to_string())
}

/// Why an event was not logged.
pub(super) fn publish_refused(error: &PublishError) -> Problem {
    match error {
        PublishError::NotOnBoundary(_) => Problem::new(Code::BadRequest, error.to_string()),
        PublishError::Backend(error) => unavailable(error, error.to_string()),
    }
}

/// What the backend did not do. While it is left alone nobody need come back before that is over.
pub(super) fn unavailable(error: &BackendError, detail: String) -> Problem {
    let problem = Problem::new(Code::Unavailable, detail);
    match error {
        BackendError::LeftAlone(left_alone) => come_back(problem, left_alone),
        _ => problem,
    }
}

pub(super) fn come_back(problem: Problem, left_alone: &LeftAlone) -> Problem {
    problem.with_header(RETRY_AFTER, in_seconds(left_alone.retry_after).max(1).into())
}

/// Why an event could not be read.
pub(super) fn form_refused(error: &FormError) -> Problem {
    let code = match error {
        FormError::TooLarge(_) => Code::TooLarge,
        FormError::BadKey(_) => Code::BadKey,
        FormError::BadTag(_) => Code::BadTag,
        _ => Code::BadRequest,
    };
    Problem::new(code, error.to_string())
}

/// 200 with the id of the event behind a change.
pub(super) fn logged(id: &LogId) -> Response<Body> {
    let id = id.to_string();
    let mut response = json(StatusCode::OK, &json!({ "id": id }));
    response.headers_mut().insert(LOG_ID, text_value(&id));
    response
}

/// 202: a key that the event names holds a pending write, and is invalidated once that is at the origin.
pub(super) fn deferred(id: &LogId) -> Response<Body> {
    let id = id.to_string();
    let mut response = json(StatusCode::ACCEPTED, &json!({ "id": id, "deferred": true }));
    response.headers_mut().insert(LOG_ID, text_value(&id));
    response
}

/// 204.
pub(super) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A JSON document that no cache keeps.
pub(super) fn json(status: StatusCode, document: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A text as a header; empty where it holds what no header can.
pub(super) fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Rounded up: whoever waits so long has waited long enough.
pub(super) fn in_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() != 0)
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is no such value")
}

/// Room for the headers of an answer.
fn emptied(mut headers: HeaderMap) -> HeaderMap {
    // Of a client that sends many the connection is not to keep the memory while it is idle.
    if HEADERS_KEPT_MAX < headers.capacity() {
        return HeaderMap::with_capacity(HEADERS_KEPT_MAX);
    }
    headers.clear();
    headers
}

/// Headers that came from outside and are none are left out.
fn value_headers(headers: &mut HeaderMap, value: &Value, unchanged: bool) {
    let mut add = |name, text: Option<&Arc<str>>| {
        if let Some(Ok(text)) = text.map(|text| HeaderValue::from_bytes(text.as_bytes())) {
            headers.insert(name, text);
        }
    };
    add(ETAG, value.etag.as_ref());
    add(LAST_MODIFIED, value.last_modified.as_ref());
    if !unchanged {
        add(CONTENT_TYPE, value.content_type.as_ref());
    }
}

/// How old the answer is, and its whole lifetime: what remains is the difference.
fn times(headers: &mut HeaderMap, answer: &Answer) {
    let fresh = whole_seconds(answer.entry.lifetime.fresh);
    headers.insert(AGE, Brief::new("").number(whole_seconds(answer.age)).value());
    headers.insert(CACHE_CONTROL, Brief::new("max-age=").number(fresh).value());
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
