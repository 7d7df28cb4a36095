//! Bulk reads: many keys, one JSON object, its large values never copied.

use std::collections::{HashSet, VecDeque};
use std::mem;

use base64_simd::STANDARD as BASE64;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::body::{Body, Part};
use super::cache_status;
use super::problem::{Code, Problem};
use super::reply::{CACHE_STATUS, LEASE, get_refused};
use super::routes::{BULK_KEYS_MAX, too_many_keys};
use crate::cache::{Answer, GetError};
use crate::coherence::form::Texts;
use crate::model::{Content, Key, Value};

/// Bytes of the largest value that is copied: a piece of its own costs as much to send.
const COPIED_MAX: usize = 4 * 1024;
/// Bytes of a member beside its value, about.
const MEMBER_BYTES: usize = 96;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    keys: Texts<BULK_KEYS_MAX>,
}

/// The keys in the body of `POST /v1/cache/NS` or `POST /v1/warm/NS`.
pub(super) fn keys(body: &[u8]) -> Result<Vec<Key>, Problem> {
    let question: Question = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem::new(
            Code::BadRequest,
            format!("the body is not of the form {{\"keys\": [\"a\", \"b\"]}} ({place})"),
        )
    })?;
    if question.keys.more {
        return Err(too_many_keys());
    }
    if question.keys.kept.is_empty() {
        return Err(Problem::new(Code::BadRequest, "`keys` is empty"));
    }
    let parse = |(at, text): (usize, &Vec<u8>)| {
        Key::from_bytes(text)
            .map_err(|invalid| Problem::new(Code::BadKey, format!("key {}: {invalid}", at + 1)))
    };
    question.keys.kept.iter().enumerate().map(parse).collect()
}

/// Each key once, in order: the answer is an object.
pub(super) fn distinct(mut keys: Vec<Key>) -> Vec<Key> {
    let mut seen = HashSet::with_capacity(keys.len());
    let firsts: Vec<bool> = keys.iter().map(|key| seen.insert(&**key)).collect();
    let mut firsts = firsts.into_iter();
    keys.retain(|_| firsts.next().unwrap_or(false));
    keys
}

/// The answer: one member for each key.
pub(super) fn reply(keys: &[Key], answers: Vec<Result<Answer, GetError>>) -> Response<Body> {
    let mut pieces = Pieces { parts: VecDeque::new(), text: Vec::with_capacity(room(&answers)) };
    pieces.say("{");
    for (index, (key, answer)) in keys.iter().zip(answers).enumerate() {
        if 0 < index {
            pieces.say(",");
        }
        pieces.quote(key);
        pieces.say(":");
        match answer {
            Ok(answer) => found(&mut pieces, &answer),
            Err(error) => pieces.say(&failed(&error).to_string()),
        }
    }
    pieces.say("}");
    pieces.flush();
    let mut response = Response::new(Body::parts(pieces.parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CACHE_STATUS, HeaderValue::from_static("coherd; detail=bulk"));
    response
}

/// Bytes that the answers come to, about, as far as they are copied.
fn room(answers: &[Result<Answer, GetError>]) -> usize {
    let copied = |answer: &Result<Answer, GetError>| match answer.as_ref().map(|it| &it.entry.content) {
        Ok(Content::Present(value)) if value.body.len() <= COPIED_MAX => value.body.len() * 4 / 3,
        _ => 0,
    };
    answers.iter().map(|answer| MEMBER_BYTES + copied(answer)).sum()
}

/// Text that is being written, and values between, as they are.
struct Pieces {
    parts: VecDeque<Part>,
    text: Vec<u8>,
}

impl Pieces {
    fn say(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn quote(&mut self, text: &str) {
        // Of most texts there is nothing to escape.
        if text.bytes().all(|byte| b' ' <= byte && byte != b'"' && byte != b'\\') {
            self.say("\"");
            self.say(text);
            self.say("\"");
            return;
        }
        serde_json::to_writer(&mut self.text, text).expect("a text is written to memory");
    }

    fn flush(&mut self) {
        self.parts.push_back(Part::Plain(mem::take(&mut self.text).into()));
    }

    fn value(&mut self, part: Part) {
        match part {
            Part::Plain(bytes) if bytes.len() <= COPIED_MAX => self.text.extend_from_slice(&bytes),
            Part::Base64(bytes) if bytes.len() <= COPIED_MAX => BASE64.encode_append(bytes, &mut self.text),
            part => {
                self.flush();
                self.parts.push_back(part);
            }
        }
    }
}

fn found(pieces: &mut Pieces, answer: &Answer) {
    let value = match &answer.entry.content {
        Content::Present(value) => Some(value),
        Content::Absent => None,
    };
    pieces.say(if value.is_some() { "{\"status\":200,\"cache\":\"" } else { "{\"status\":404,\"cache\":\"" });
    pieces.say(cache_status::word(answer));
    pieces.say(if answer.detached { "\",\"detached\":true" } else { "\"" });
    let Some(value) = value else {
        pieces.say(",\"code\":");
        pieces.quote(Code::NotFound.parts().1);
        pieces.say("}");
        return;
    };
    if let Some(content_type) = &value.content_type {
        pieces.say(",\"content_type\":");
        pieces.quote(content_type);
    }
    if answer.entry.is_json(|| is_json(value)) {
        pieces.say(",\"value\":");
        pieces.value(Part::Plain(value.body.slice_ref(value.body.trim_ascii())));
        pieces.say("}");
    } else {
        pieces.say(",\"base64\":\"");
        pieces.value(Part::Base64(value.body.clone()));
        pieces.say("\"}");
    }
}

fn failed(error: &GetError) -> serde_json::Value {
    let problem = get_refused(error);
    let (status, code) = problem.code().parts();
    let mut member =
        json!({ "status": status.as_u16(), "cache": "miss", "code": code, "detail": problem.detail() });
    if let GetError::Missing { lease: Some(lease) } = error {
        // As the header of a single read: whoever is not told would keep others waiting until the lease is over.
        member[LEASE.as_str()] = json!(lease.token);
    }
    member
}

/// Whether the value says it is JSON, and is.
fn is_json(value: &Value) -> bool {
    let Some(essence) = value.content_type.as_deref().and_then(|it| it.split(';').next()) else {
        return false;
    };
    let essence = essence.trim();
    let says_so = essence.eq_ignore_ascii_case("application/json")
        || essence.len() > 5
            && essence.is_char_boundary(essence.len() - 5)
            && essence[essence.len() - 5..].eq_ignore_ascii_case("+json");
    says_so && serde_json::from_slice::<&RawValue>(&value.body).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use bytes::Bytes;

    use crate::cache::{Entry, LeaseGrant, LoadId, Via};
    use crate::model::Lifetime;

    #[expect(clippy::unnecessary_wraps, reason = "one of many, of which some fail")]
    fn answer(via: Via, content: Content) -> Result<Answer, GetError> {
        let entry = Arc::new(Entry::new(content, Lifetime::default()));
        Ok(Answer { entry, age: Duration::ZERO, via, detached: false })
    }

    fn value(content_type: Option<&str>, body: &'static [u8]) -> Content {
        let content_type = content_type.map(Into::into);
        Content::Present(Value { body: Bytes::from_static(body), content_type, ..Value::default() })
    }

    fn keys_of(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key::new(name).unwrap()).collect()
    }

    #[test]
    fn json_is_inline_and_the_rest_is_base64() {
        let keys = keys_of(&["a", "b\"", "c", "d", "e"]);
        let answers = vec![
            answer(Via::L1, value(Some("application/json; charset=utf-8"), b" {\"n\": 1} ")),
            answer(Via::Origin { stored: true }, value(Some("application/problem+json"), b"[1")),
            answer(Via::L2, value(None, b"plain")),
            answer(Via::L1, Content::Absent),
            Err(GetError::Missing {
                lease: Some(LeaseGrant { token: "t0ken".into(), load: LoadId("l".into()) }),
            }),
        ];
        let body = reply(&keys, answers).into_body();
        let announced = body.len();
        let text = body.whole().unwrap();
        assert_eq!(announced, Some(text.len() as u64));
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&text).unwrap(),
            json!({
                "a": {"status": 200, "cache": "l1", "content_type": "application/json; charset=utf-8", "value": {"n": 1}},
                "b\"": {"status": 200, "cache": "origin", "content_type": "application/problem+json", "base64": "WzE="},
                "c": {"status": 200, "cache": "l2", "base64": "cGxhaW4="},
                "d": {"status": 404, "cache": "negative", "code": "not_found"},
                "e": {"status": 404, "cache": "miss", "code": "not_found", "detail": "there is no such value",
                    "coherd-lease": "t0ken"},
            })
        );
    }

    #[test]
    fn what_only_says_it_is_json_is_not_let_through() {
        for body in [&b"{\"a\":1} {"[..], b"\"\xFF\"", b"", b"{\"a\":1},\"x\":{}"] {
            let Content::Present(value) = value(Some("application/json"), body) else { unreachable!() };
            assert!(!is_json(&value), "{body:?}");
        }
        let Content::Present(value) = value(Some("ä+json"), b"1") else { unreachable!() };
        assert!(is_json(&value));
    }

    #[test]
    fn no_keys_is_no_object_of_nothing() {
        assert_eq!(reply(&[], Vec::new()).into_body().whole().unwrap(), b"{}");
        assert_eq!(keys(b"{\"keys\":[]}").unwrap_err().code(), Code::BadRequest);
    }

    #[test]
    fn keys_come_in_the_body_too() {
        assert_eq!(keys(br#"{"keys":["a,b","c"]}"#).unwrap(), keys_of(&["a,b", "c"]));
        assert_eq!(distinct(keys_of(&["a", "b", "a"])), keys_of(&["a", "b"]));
        let many = format!(r#"{{"keys":[{}]}}"#, vec!["\"k\""; 1001].join(","));
        for (body, code) in [
            ("", Code::BadRequest),
            ("[]", Code::BadRequest),
            (r#"{"key":["a"]}"#, Code::BadRequest),
            (r#"{"keys":["a"],"more":1}"#, Code::BadRequest),
            (r#"{"keys":["a",""]}"#, Code::BadKey),
            (many.as_str(), Code::BadRequest),
        ] {
            assert_eq!(keys(body.as_bytes()).expect_err(body).code(), code, "{body}");
        }
    }
}
