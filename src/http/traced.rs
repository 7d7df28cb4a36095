//! The span of a request: begun by its `traceparent`, or by the draw; ended with its answer.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};

use super::body::Body;
use super::front::Desk;
use super::reply::CACHE_STATUS;
use crate::model::TraceId;
use crate::telemetry::trace::{self, Span, Tracer, Value};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request that has a span.
pub(super) struct Traced {
    span: Span,
    method: String,
    template: &'static str,
}

impl Traced {
    /// `None` for a request that is part of no trace: all that it costs is one header that is not there.
    pub(super) fn begin<D: Desk, B>(tracer: &Tracer, desk: &D, request: &Request<B>) -> Option<Box<Self>> {
        let headers = request.headers();
        let parent = headers.get(TRACEPARENT).map(HeaderValue::as_bytes);
        let span = tracer.request(parent, || state(headers), name(request.method().as_str()))?;
        let route = desk.route(request.method(), request.uri());
        let template = route.map_or("", |route| desk.template(&route));
        Some(Box::new(Self { span, method: request.method().to_string(), template }))
    }

    /// The trace it is part of.
    pub(super) fn id(&self) -> TraceId {
        self.span.context().parent.trace
    }

    /// Answers it: what is done meanwhile is done on its behalf.
    pub(super) async fn around<F: Future>(&self, work: F) -> F::Output {
        trace::within(Some(self.span.context().clone()), work).await
    }

    /// It is answered. `Cache-Status` says which way; there is no key in it.
    pub(super) fn end(self: Box<Self>, response: &Response<Body>) {
        let status = response.status();
        let mut attributes = vec![
            ("http.request.method", Value::Text(self.method)),
            ("http.response.status_code", Value::Number(status.as_u16().into())),
        ];
        if !self.template.is_empty() {
            attributes.push(("http.route", Value::Text(self.template.to_owned())));
        }
        if let Some(Ok(way)) = response.headers().get(CACHE_STATUS).map(|value| value.to_str()) {
            attributes.push(("coherd.cache_status", Value::Text(way.to_owned())));
        }
        self.span.end(status.is_server_error(), attributes);
    }
}

/// What a span is called: methods are few, whatever clients send.
fn name(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PURGE" => "PURGE",
        _ => "HTTP",
    }
}

/// Every line of `tracestate` in one; none where one of them is no text.
fn state(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all("tracestate").iter().map(|line| line.to_str().ok());
    lines.collect::<Option<Vec<_>>>().map(|lines| lines.join(","))
}
