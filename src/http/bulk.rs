//! Bulk reads: many keys, one JSON object, its values never copied.

use std::collections::{HashSet, VecDeque};
use std::mem;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::body::{Body, Part};
use super::cache_status;
use super::problem::{Code, Problem};
use super::reply::{CACHE_STATUS, LEASE, get_refused};
use super::routes::{BULK_KEYS_MAX, too_many_keys};
use crate::cache::{Answer, GetError};
use crate::coherence::form::Texts;
use crate::model::{Content, Key, Value};

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
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    keys
}

/// The answer: one member for each key.
pub(super) fn reply(keys: &[Key], answers: Vec<Result<Answer, GetError>>) -> Response<Body> {
    let mut pieces = Pieces { parts: VecDeque::new(), text: String::from("{") };
    for (index, (key, answer)) in keys.iter().zip(answers).enumerate() {
        if 0 < index {
            pieces.text.push(',');
        }
        pieces.text.push_str(&json!(&**key).to_string());
        pieces.text.push(':');
        match answer {
            Ok(answer) => found(&mut pieces, &answer),
            Err(error) => pieces.text.push_str(&failed(&error).to_string()),
        }
    }
    pieces.text.push('}');
    pieces.flush();
    let mut response = Response::new(Body::parts(pieces.parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CACHE_STATUS, HeaderValue::from_static("coherd; detail=bulk"));
    response
}

/// Text that is being written, and values between, as they are.
struct Pieces {
    parts: VecDeque<Part>,
    text: String,
}

impl Pieces {
    fn flush(&mut self) {
        self.parts.push_back(Part::Plain(mem::take(&mut self.text).into()));
    }

    fn value(&mut self, part: Part) {
        self.flush();
        self.parts.push_back(part);
    }
}

fn found(pieces: &mut Pieces, answer: &Answer) {
    let mut member = Map::new();
    let value = match &answer.entry.content {
        Content::Present(value) => Some(value),
        Content::Absent => None,
    };
    member.insert("status".to_owned(), json!(if value.is_some() { 200 } else { 404 }));
    member.insert("cache".to_owned(), json!(cache_status::word(answer)));
    if answer.detached {
        member.insert("detached".to_owned(), json!(true));
    }
    let Some(value) = value else {
        member.insert("code".to_owned(), json!(Code::NotFound.parts().1));
        pieces.text.push_str(&serde_json::Value::Object(member).to_string());
        return;
    };
    if let Some(content_type) = &value.content_type {
        member.insert("content_type".to_owned(), json!(&**content_type));
    }
    let head = serde_json::Value::Object(member).to_string();
    pieces.text.push_str(head.strip_suffix('}').unwrap_or(&head));
    if let Some(json) = inline(value) {
        pieces.text.push_str(",\"value\":");
        pieces.value(Part::Plain(json));
        pieces.text.push('}');
    } else {
        pieces.text.push_str(",\"base64\":\"");
        pieces.value(Part::Base64(value.body.clone()));
        pieces.text.push_str("\"}");
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

/// The value as it is, if it says it is JSON and it is.
fn inline(value: &Value) -> Option<Bytes> {
    let essence = value.content_type.as_deref()?.split(';').next()?.trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.len() > 5
            && essence.is_char_boundary(essence.len() - 5)
            && essence[essence.len() - 5..].eq_ignore_ascii_case("+json");
    let raw: &RawValue = is_json.then(|| serde_json::from_slice(&value.body).ok())??;
    Some(value.body.slice_ref(raw.get().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::cache::{Entry, LeaseGrant, LoadId, Via};
    use crate::model::Lifetime;

    #[expect(clippy::unnecessary_wraps, reason = "one of many, of which some fail")]
    fn answer(via: Via, content: Content) -> Result<Answer, GetError> {
        let entry = Arc::new(Entry { content, lifetime: Lifetime::default() });
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
            assert_eq!(inline(&value), None, "{body:?}");
        }
        let Content::Present(value) = value(Some("ä+json"), b"1") else { unreachable!() };
        assert_eq!(inline(&value).unwrap(), "1");
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
