//! `/v1/locks/NAME`: what a request asks of a lock, and what it is told.

use hyper::header::{HeaderMap, HeaderName, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::Body;
use super::problem::{Code, Problem};
use super::query::LockOptions;
use super::{demand, reply};
use crate::lock::{Held, LockError, LockToken, Locks};
use crate::model::Key;

/// `Coherd-Lock`: what proves to hold a lock.
const LOCK: HeaderName = HeaderName::from_static("coherd-lock");

/// `POST`: takes it.
pub(super) async fn take(locks: &Locks, name: &Key, options: LockOptions) -> Result<Response<Body>, Problem> {
    let taken = locks.take(name, options.ttl, options.wait).await;
    taken.map(|held| self::held(&held)).map_err(|error| refused(name, &error))
}

/// `PUT`: holds it for longer.
pub(super) async fn extend(
    locks: &Locks,
    name: &Key,
    options: LockOptions,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let token = token(name, headers)?;
    let extended = locks.extend(name, token, options.ttl).await;
    extended.map(|held| self::held(&held)).map_err(|error| refused(name, &error))
}

/// `DELETE`: gives it up.
pub(super) async fn give_up(
    locks: &Locks,
    name: &Key,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let token = token(name, headers)?;
    let given_up = locks.give_up(name, &token).await;
    given_up.map(|()| reply::no_content()).map_err(|error| refused(name, &error))
}

/// What was never given out holds nothing.
fn token(name: &Key, headers: &HeaderMap) -> Result<LockToken, Problem> {
    let text = demand::joined(headers, &LOCK)?;
    let text = text.ok_or_else(|| {
        Problem::new(
            Code::BadRequest,
            "the request needs `Coherd-Lock: TOKEN`, as the lock was answered with",
        )
    })?;
    LockToken::parse(&text).ok_or_else(|| refused(name, &LockError::Lost))
}

fn held(held: &Held) -> Response<Body> {
    let document = json!({
        "token": held.token.as_str(),
        "fence": held.fence,
        // Rounded down: whoever relies on it stops a little early.
        "expires_in_ms": u64::try_from(held.expires_in.as_millis()).unwrap_or(u64::MAX),
    });
    reply::json(StatusCode::OK, &document)
}

fn refused(name: &Key, error: &LockError) -> Problem {
    let detail = format!("lock `{name}`: {error}");
    let code = match error {
        LockError::Backend(error) => return reply::unavailable(error, detail),
        LockError::Locked { .. } => Code::Locked,
        LockError::Lost => Code::LockLost,
        LockError::TooMany => Code::Overloaded,
        LockError::Stopping | LockError::TooLate => Code::Unavailable,
    };
    let problem = Problem::new(code, detail);
    match error {
        LockError::Locked { left } => {
            problem.with_header(RETRY_AFTER, reply::in_seconds(*left).max(1).into())
        }
        _ => problem,
    }
}
