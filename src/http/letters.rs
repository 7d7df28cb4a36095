//! Pending writes and dead letters, on the admin listener.

use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, json};

use super::body::Body;
use super::problem::{Code, Problem};
use super::query::LettersOptions;
use super::reply;
use crate::write::{BackendError, LettersError, Writes};

/// Most ids in one request, and longest body that names them.
const IDS_MAX: usize = 1000;
pub(super) const BODY_MAX: usize = 128 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<String>,
}

/// What waits, oldest first.
pub(super) async fn pending(writes: &Writes, options: &LettersOptions) -> Result<Response<Body>, Problem> {
    let pending = writes.pending(options.namespace.as_deref(), options.limit).await;
    let pending = pending.map_err(|error| unavailable(&error))?;
    Ok(reply::json(StatusCode::OK, &json!({ "pending": pending })))
}

/// What was given up, oldest first.
pub(super) async fn dead(writes: &Writes, options: &LettersOptions) -> Result<Response<Body>, Problem> {
    let dead = writes.dead(options.namespace.as_deref(), options.limit).await;
    let dead = dead.map_err(|error| unavailable(&error))?;
    Ok(reply::json(StatusCode::OK, &json!({ "dead": dead })))
}

/// Tries dead letters again.
pub(super) async fn retry(writes: &Writes, body: &[u8]) -> Result<Response<Body>, Problem> {
    let retried = writes.retry(&ids(body)?).await.map_err(|error| refused(&error))?;
    let retried: Map<_, _> = retried.into_iter().map(|(id, retried)| (id, json!(retried))).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "retried": retried })))
}

/// Drops dead letters.
pub(super) async fn drop_dead(writes: &Writes, body: &[u8]) -> Result<Response<Body>, Problem> {
    let dropped = writes.drop_dead(&ids(body)?).await.map_err(|error| refused(&error))?;
    Ok(reply::json(StatusCode::OK, &json!({ "dropped": dropped })))
}

fn ids(body: &[u8]) -> Result<Vec<String>, Problem> {
    let bad = |why: String| Problem::new(Code::BadRequest, why);
    let ids: Ids = serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is JSON such as `{{\"ids\": [\"1234-0\"]}}`: {error}")))?;
    match ids.ids.len() {
        0 => Err(bad("no id is given".to_owned())),
        1..=IDS_MAX => Ok(ids.ids),
        _ => Err(bad(format!("at most {IDS_MAX} ids are taken at once"))),
    }
}

fn refused(error: &LettersError) -> Problem {
    match error {
        LettersError::Id(_) => Problem::new(Code::BadRequest, error.to_string()),
        LettersError::Backend(error) => unavailable(error),
    }
}

fn unavailable(error: &BackendError) -> Problem {
    reply::unavailable(error, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_as_a_list_that_has_some_and_not_too_many() {
        assert_eq!(ids(br#"{"ids": ["1-0", "2-0"]}"#).unwrap(), ["1-0", "2-0"]);
        let many = json!({ "ids": vec!["1-0"; IDS_MAX + 1] }).to_string();
        for bad in [&b"[]"[..], br#"{"ids": []}"#, br#"{"ids": ["1"], "x": 1}"#, many.as_bytes()] {
            assert_eq!(ids(bad).unwrap_err().code(), Code::BadRequest);
        }
    }
}
