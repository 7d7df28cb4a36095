//! Refusals: RFC 9457 problems with a stable `code`.

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::body::Body;
use crate::model::Namespace;

/// What went wrong: the status and the code that programs branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request makes no sense.
    BadRequest,
    /// A key that cannot be one.
    BadKey,
    /// A tag that cannot be one.
    BadTag,
    /// No token, or an unknown one.
    Unauthorized,
    /// The token may not.
    Forbidden,
    /// The namespace takes no writes.
    WriteOff,
    /// Nothing there.
    NotFound,
    /// The namespace is not configured.
    UnknownNamespace,
    /// The resource does not know the method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The lease is gone.
    LeaseLost,
    /// Another holds the lock.
    Locked,
    /// The token does not hold the lock.
    LockLost,
    /// The sender has sent as many requests as it may.
    RateLimited,
    /// Body or value over its limit.
    TooLarge,
    /// The URI is over its limit.
    UriTooLong,
    /// A fault of this program.
    Internal,
    /// The origin failed.
    OriginFailed,
    /// Too much at once.
    Overloaded,
    /// No answer is possible now.
    Unavailable,
    /// The origin was too slow.
    OriginTimeout,
    /// `only-if-cached`, and it is not.
    NotCached,
    /// Not everybody confirmed in time.
    WaitTimeout,
}

impl Code {
    /// The status and the spelling.
    pub fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::BadKey => (StatusCode::BAD_REQUEST, "bad_key"),
            Self::BadTag => (StatusCode::BAD_REQUEST, "bad_tag"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::WriteOff => (StatusCode::FORBIDDEN, "write_off"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::UnknownNamespace => (StatusCode::NOT_FOUND, "unknown_namespace"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::LeaseLost => (StatusCode::CONFLICT, "lease_lost"),
            Self::Locked => (StatusCode::CONFLICT, "locked"),
            Self::LockLost => (StatusCode::CONFLICT, "lock_lost"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri_too_long"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::OriginFailed => (StatusCode::BAD_GATEWAY, "origin_failed"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::OriginTimeout => (StatusCode::GATEWAY_TIMEOUT, "origin_timeout"),
            Self::NotCached => (StatusCode::GATEWAY_TIMEOUT, "not_cached"),
            Self::WaitTimeout => (StatusCode::GATEWAY_TIMEOUT, "wait_timeout"),
        }
    }
}

/// A refusal, ready to be sent.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    members: Map<String, Value>,
}

impl Problem {
    /// A refusal; `detail` says what was wrong with this very request, without secrets. A 503 asks to come back in a
    /// second, a 401 for a token.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut problem = Self { code, detail: detail.into(), headers: Vec::new(), members: Map::new() };
        if code.parts().0 == StatusCode::SERVICE_UNAVAILABLE {
            problem.headers.push((RETRY_AFTER, HeaderValue::from_static("1")));
        }
        if code == Code::Unauthorized {
            problem.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        problem
    }

    /// A namespace that nobody configured.
    pub fn unknown_namespace(namespace: &Namespace) -> Self {
        Self::new(Code::UnknownNamespace, format!("namespace `{namespace}` is not configured"))
    }

    /// A method that the resource does not know; `allow` lists those it does.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(Code::MethodNotAllowed, format!("this resource allows {allow}"))
            .with_header(ALLOW, HeaderValue::from_static(allow))
    }

    /// Sets a header, in place of another value it has already.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }

    /// Adds a member beside those of RFC 9457.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// What programs branch on.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What was wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The response. No cache keeps it.
    pub fn into_response(self) -> Response<Body> {
        let (status, code) = self.code.parts();
        let mut document = Map::new();
        document.insert("type".to_owned(), json!("about:blank"));
        document.insert("title".to_owned(), json!(status.canonical_reason().unwrap_or(code)));
        document.insert("status".to_owned(), json!(status.as_u16()));
        document.insert("code".to_owned(), json!(code));
        document.insert("detail".to_owned(), json!(self.detail));
        document.extend(self.members);
        let mut response = Response::new(Body::from(Value::Object(document).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_status_code_and_what_goes_with_them() {
        let response = Problem::new(Code::Overloaded, "later").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let response = Problem::new(Code::Unauthorized, "no token").into_response();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let response = Problem::method_not_allowed("GET, HEAD").into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &HeaderValue::from_static("GET, HEAD"))
        );
    }

    #[test]
    fn the_document_is_rfc_9457_with_a_code() {
        let problem = Problem::new(Code::WaitTimeout, "b is missing").with_member("missing", json!(["b"]));
        let text = problem.into_response().into_body().whole().unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            document,
            json!({"type": "about:blank", "title": "Gateway Timeout", "status": 504, "code": "wait_timeout",
                "detail": "b is missing", "missing": ["b"]})
        );
    }
}
