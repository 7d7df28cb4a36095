//! Writes over HTTP: one `PUT` or `DELETE` on the key's URL, its fence in two header fields.
//!
//! An origin that obeys the fence remembers the greatest `Coherd-Write-Seq` of each key, those of removals too, and
//! answers 412 (or 409) to a smaller one without doing anything.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::{HttpOrigin, answer, drain};
use crate::mutants;
use crate::origin::{Applied, Change, Fence, OriginError, WriteError};

/// The write's number: decimal, greater for a newer write of the same key.
pub(super) const WRITE_SEQ: HeaderName = HeaderName::from_static("coherd-write-seq");
/// The same text over all attempts at a write, as draft-ietf-httpapi-idempotency-key-header has it.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a status says to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The origin took it.
    Took(Applied),
    /// It never will.
    Never,
    /// It may yet.
    NotNow,
}

impl HttpOrigin {
    /// One attempt. A pooled connection that the origin had closed before anything was sent is no attempt: the client
    /// opens another.
    pub(super) async fn change(
        &self,
        uri: &Uri,
        change: &Change,
        fence: &Fence,
        deadline: Instant,
    ) -> Result<Applied, WriteError> {
        let request = self.changing(uri, change, fence);
        let (head, mut body) =
            self.ask(request).await.map_err(|error| self.broken(&error).error)?.into_parts();
        // What the answer said holds, whatever becomes of its body.
        let _drained = timeout_at(deadline, drain(&mut body)).await.is_ok();
        match meaning(head.status, change) {
            // Of what is still being read the origin cannot have said more than that it will take it.
            Meaning::Took(Applied::Done) => match timeout_at(deadline, body.asked()).await {
                Ok(()) => Ok(Applied::Done),
                Err(_) => Err(OriginError::TimedOut.into()),
            },
            Meaning::Took(applied) => Ok(applied),
            Meaning::Never => Err(WriteError::Refused(format!("it answered {}", head.status.as_u16()))),
            Meaning::NotNow => {
                let error = OriginError::Status(head.status.as_u16());
                Err(WriteError::Failed { error, retry_after: answer::retry_after(&head.headers) })
            }
        }
    }

    fn changing(&self, uri: &Uri, change: &Change, fence: &Fence) -> Request<Full<Bytes>> {
        let (method, body, content_type) = match change {
            Change::Put(value) => (Method::PUT, value.body.clone(), value.content_type.as_deref()),
            Change::Delete => (Method::DELETE, Bytes::new(), None),
        };
        let length = body.len();
        let mut request = self.plain(uri, body);
        *request.method_mut() = method;
        let headers = request.headers_mut();
        if matches!(change, Change::Put(_)) {
            // Of an empty value too, which would be sent as if it had no body.
            headers.insert(CONTENT_LENGTH, length.into());
        }
        if !mutants::UNFENCED {
            headers.insert(WRITE_SEQ, fence.seq.into());
        }
        headers.insert(IDEMPOTENCY_KEY, string(&fence.idempotency_key));
        // One that no header can hold came from no header.
        if let Some(value) = content_type.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(CONTENT_TYPE, value);
        }
        request
    }
}

fn meaning(status: StatusCode, change: &Change) -> Meaning {
    match (status.as_u16(), change) {
        (200..=299, _) | (404 | 410, Change::Delete) => Meaning::Took(Applied::Done),
        (409 | 412, _) => Meaning::Took(Applied::Superseded),
        (501 | 505, _) => Meaning::Never,
        (408 | 425 | 429 | 500.., _) => Meaning::NotNow,
        _ => Meaning::Never,
    }
}

/// A string of RFC 8941. What it cannot hold (control characters, all but ASCII) is percent-encoded.
fn string(text: &str) -> HeaderValue {
    let text = utf8_percent_encode(text, CONTROLS).to_string();
    let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    HeaderValue::try_from(quoted).expect("printable ASCII is a header's value")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Value;

    #[test]
    fn every_status_is_one_of_four() {
        let (put, delete) = (Change::Put(Value::default()), Change::Delete);
        let of = |code, change| meaning(StatusCode::from_u16(code).unwrap(), change);
        for change in [&put, &delete] {
            for code in [200, 201, 202, 204, 206, 299] {
                assert_eq!(of(code, change), Meaning::Took(Applied::Done), "{code}");
            }
            for code in [409, 412] {
                assert_eq!(of(code, change), Meaning::Took(Applied::Superseded), "{code}");
            }
            for code in [408, 425, 429, 500, 502, 503, 504, 507, 599, 999] {
                assert_eq!(of(code, change), Meaning::NotNow, "{code}");
            }
            for code in [101, 301, 304, 308, 400, 401, 403, 405, 413, 415, 422, 428, 451, 501, 505] {
                assert_eq!(of(code, change), Meaning::Never, "{code}");
            }
        }
        for code in [404, 410] {
            assert_eq!(of(code, &put), Meaning::Never);
            assert_eq!(of(code, &delete), Meaning::Took(Applied::Done));
        }
    }

    #[test]
    fn an_idempotency_key_is_a_quoted_string() {
        assert_eq!(string("main/0/42"), "\"main/0/42\"");
        assert_eq!(string("a\"b\\c"), "\"a\\\"b\\\\c\"");
        assert_eq!(string("ä\n"), "\"%C3%A4%0A\"");
    }

    proptest! {
        #[test]
        fn any_text_is_a_structured_string(text in any::<String>()) {
            let header = string(&text);
            let parsed = sfv::Parser::new(header.as_bytes()).parse::<sfv::Item>().unwrap();
            let spelt = utf8_percent_encode(&text, CONTROLS).to_string();
            prop_assert_eq!(parsed.bare_item.as_string().map(sfv::StringRef::as_str), Some(spelt.as_str()));
        }
    }
}
