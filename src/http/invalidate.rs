//! `POST /v1/invalidate`: which event a request means, and what its publisher is told.

use std::collections::BTreeMap;

use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::auth::Tokens;
use super::body::Body;
use super::front::{Call, too_slow};
use super::problem::{Code, Problem};
use super::query::{InvalidateOptions, Wait};
use super::reply::{self, LOG_ID, text_value};
use super::{Settings, tags};
use crate::coherence::form::{self, EVENT_BYTES_MAX, FormError};
use crate::coherence::{Coherence, Door, Terms, WaitMode, Waited};
use crate::model::{Event, Hardness, LogId, Target};

/// Publishes the event of a request, on whichever listener, and waits as long as it asks. The request's right in the
/// namespaces and tags that the event names is checked here: before the body is read nobody knows them.
pub(super) async fn publish(
    coherence: &Coherence,
    tokens: &Tokens,
    settings: &Settings,
    options: InvalidateOptions,
    call: &Call,
) -> Result<Response<Body>, Problem> {
    let mut event = event(call, options.soft || soft_purge(&call.headers)).map_err(|error| {
        coherence.count_rejected(&error);
        reply::form_refused(&error)
    })?;
    let caller = tokens.caller(&call.headers)?;
    caller.check_event(&event)?;
    event.request_id = event.request_id.map(|id| caller.request_id(id));
    let sender = Some(caller.sender(call.peer));
    let confirm = options.wait.is_some();
    let terms = Terms { exact: options.exact, confirm, sender, ..Terms::of(Door::Http) };
    let limit = settings.request_timeout;
    let published = timeout(limit, coherence.publish(event, &terms)).await;
    let receipt = published.map_err(|_| too_slow(limit))?.map_err(|error| reply::publish_refused(&error))?;
    let Some(wait) = options.wait else {
        return Ok(accepted(&receipt.id, &receipt.widened));
    };
    let end = coherence.wait_all(&receipt, wait.limit()).await;
    waited(&receipt.id, &receipt.widened, &end)
}

/// Most bytes of an event's body.
pub(super) fn body_max(settings: &Settings) -> usize {
    settings.max_body.min(EVENT_BYTES_MAX)
}

/// The body could not be read; if that was its size, an event was refused.
pub(super) fn unread(coherence: &Coherence, problem: &Problem) {
    if problem.code() == Code::TooLarge {
        coherence.count_rejected(&FormError::TooLarge(EVENT_BYTES_MAX + 1));
    }
}

/// `Fastly-Soft-Purge: 1`.
pub(super) fn soft_purge(headers: &HeaderMap) -> bool {
    headers.get("fastly-soft-purge").is_some_and(|value| value.as_bytes().trim_ascii() == b"1")
}

impl Wait {
    /// `None`: as long as it takes at the most.
    pub(super) fn limit(self) -> Option<std::time::Duration> {
        match self {
            Self::Default => None,
            Self::AtMost(limit) => Some(limit),
        }
    }
}

/// The event in the body, or without one in the headers; these can only name tags. `soft` is for the latter: a body
/// says it itself.
pub(super) fn event(call: &Call, soft: bool) -> Result<Event, FormError> {
    let tags = tags::to_invalidate(&call.headers).map_err(FormError::BadTag)?;
    let contradiction = |why: &str| Err(FormError::Malformed(why.to_owned()));
    match (call.body.is_empty(), tags.is_empty()) {
        (false, true) => {
            let parse = if is_msgpack(&call.headers) { form::from_msgpack } else { form::from_json };
            let event = parse(&call.body)?;
            if soft && event.hardness == Hardness::Hard {
                return contradiction("in a body, the event says `soft` itself");
            }
            Ok(event)
        }
        (false, false) => contradiction("it is in the body or in headers, not in both"),
        (true, true) => Err(FormError::NoTarget),
        (true, false) if Event::TARGETS_MAX < tags.len() => Err(FormError::TooManyTargets),
        (true, false) => {
            let hardness = if soft { Hardness::Soft } else { Hardness::Hard };
            Ok(Event { hardness, ..Event::hard(tags.into_iter().map(Target::Tag).collect()) })
        }
    }
}

/// 202: the log has it.
fn accepted(id: &LogId, widened: &BTreeMap<String, String>) -> Response<Body> {
    let mut document = json!({ "id": id.to_string(), "applied": [], "missing": [] });
    if !widened.is_empty() {
        document["widened"] = json!(widened);
    }
    with_id(reply::json(StatusCode::ACCEPTED, &document), id)
}

/// 200: no instance can answer with anything older. 504: not within the time, and who is missing.
pub(super) fn waited(
    id: &LogId,
    widened: &BTreeMap<String, String>,
    waited: &Waited,
) -> Result<Response<Body>, Problem> {
    let mode = match waited.mode {
        WaitMode::Early => "early",
        WaitMode::Late => "late",
        WaitMode::TimedOut => return Err(timed_out(id, waited)),
    };
    let mut document =
        json!({ "id": id.to_string(), "applied": waited.applied, "missing": waited.missing, "mode": mode });
    if !widened.is_empty() {
        document["widened"] = json!(widened);
    }
    Ok(with_id(reply::json(StatusCode::OK, &document), id))
}

/// 504, and who is missing.
pub(super) fn timed_out(id: &LogId, waited: &Waited) -> Problem {
    let id = id.to_string();
    Problem::new(Code::WaitTimeout, "the event is logged, but not all instances have confirmed it in time")
        .with_header(LOG_ID, text_value(&id))
        .with_member("id", Value::String(id))
        .with_member("applied", json!(waited.applied))
        .with_member("missing", json!(waited.missing))
}

fn with_id(mut response: Response<Body>, id: &LogId) -> Response<Body> {
    response.headers_mut().insert(LOG_ID, text_value(&id.to_string()));
    response
}

/// Anything else is taken as JSON: `curl -d` calls it a form.
fn is_msgpack(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Boot;
    use std::net::Ipv4Addr;

    use crate::model::Tag;
    use bytes::Bytes;

    fn call(lines: &[(&'static str, &str)], body: &[u8]) -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        Call {
            headers,
            body: Bytes::copy_from_slice(body),
            trace: None,
            arrived: Boot::NEVER,
            peer: Ipv4Addr::LOCALHOST.into(),
        }
    }

    const JSON: &[u8] = br#"{"tags":["a"]}"#;

    #[test]
    fn an_event_is_in_the_body_in_either_form_or_in_headers() {
        let tags = |names: &[&str]| {
            names.iter().map(|name| Target::Tag(Tag::new(name).unwrap())).collect::<Vec<_>>()
        };
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(event(&call(&[form], JSON), false).unwrap().targets, tags(&["a"]));
        let packed = b"\x81\xa4tags\x91\xa1a";
        let of_type = ("content-type", "application/vnd.msgpack; v=1");
        assert_eq!(event(&call(&[of_type], packed), false).unwrap().targets, tags(&["a"]));
        let keys = event(&call(&[("surrogate-key", "b a")], b""), true).unwrap();
        assert_eq!((keys.targets, keys.hardness), (tags(&["b", "a"]), Hardness::Soft));
        let group = event(&call(&[("cache-group-invalidation", r#""g""#)], b""), false).unwrap();
        assert_eq!((group.targets, group.hardness), (tags(&["g"]), Hardness::Hard));
    }

    #[test]
    fn a_purge_is_soft_where_fastly_says_so() {
        assert!(soft_purge(&call(&[("fastly-soft-purge", "1")], b"").headers));
        assert!(!soft_purge(&call(&[("fastly-soft-purge", "0")], b"").headers));
        assert!(!soft_purge(&call(&[], b"").headers));
    }

    #[test]
    fn what_is_no_event_has_its_code() {
        let many = (0..1001).map(|n| format!("t{n}")).collect::<Vec<_>>().join(" ");
        for (lines, body, soft, code) in [
            (vec![], &b""[..], false, Code::BadRequest),
            (vec![], b"{}", false, Code::BadRequest),
            (vec![], br#"{"tags":["a b"]}"#, false, Code::BadTag),
            (vec![], br#"{"namespace":"n","keys":[""]}"#, false, Code::BadKey),
            (vec![("content-type", "application/msgpack")], JSON, false, Code::BadRequest),
            (vec![("cache-tag", "a")], JSON, false, Code::BadRequest),
            (vec![], JSON, true, Code::BadRequest),
            (vec![("surrogate-key", many.as_str())], b"", false, Code::BadRequest),
        ] {
            let refused = event(&call(&lines, body), soft).unwrap_err();
            assert_eq!(reply::form_refused(&refused).code(), code, "{lines:?}");
        }
    }

    fn document(response: Response<Body>) -> Value {
        serde_json::from_slice(&response.into_body().whole().unwrap()).unwrap()
    }

    #[test]
    fn the_publisher_is_told_who_has_it() {
        let id = LogId::single(7);
        let none = BTreeMap::new();
        let widened = BTreeMap::from([("eu".to_owned(), String::new())]);
        let response = accepted(&id, &none);
        assert_eq!(
            (response.status().as_u16(), response.headers()["coherd-log-id"].to_str().unwrap()),
            (202, "7-0")
        );
        assert_eq!(document(response), json!({"id": "7-0", "applied": [], "missing": []}));
        let end = |mode| Waited { mode, applied: vec!["a".to_owned()], missing: vec!["b".to_owned()] };
        let late = waited(&id, &widened, &end(WaitMode::Late)).unwrap();
        assert_eq!((late.status().as_u16(), late.headers()["coherd-log-id"].to_str().unwrap()), (200, "7-0"));
        let expected =
            json!({"id": "7-0", "applied": ["a"], "missing": ["b"], "mode": "late", "widened": {"eu": ""}});
        assert_eq!(document(late), expected);
        assert_eq!(document(waited(&id, &none, &end(WaitMode::Early)).unwrap())["mode"], "early");
        let missed = waited(&id, &none, &end(WaitMode::TimedOut)).unwrap_err().into_response();
        assert_eq!(
            (missed.status().as_u16(), missed.headers()["coherd-log-id"].to_str().unwrap()),
            (504, "7-0")
        );
        let document = document(missed);
        assert_eq!((&document["code"], &document["missing"]), (&json!("wait_timeout"), &json!(["b"])));
    }
}
