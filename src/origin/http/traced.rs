//! What a request to an origin says of the trace that it is made in, and the span of it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{Request, Response};

use super::HttpOrigin;
use super::pool::Failed;
use super::talk::Answer;
use crate::telemetry::trace::{self, Kind, Value};

impl HttpOrigin {
    /// Asks, on behalf of the span that is current: one attempt, up to the answer's header.
    pub(super) async fn ask(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Answer>, Failed> {
        let Some(context) = trace::current() else { return self.pool.ask(request).await };
        let span = context.child(Kind::Client, "origin request");
        let headers = request.headers_mut();
        let parent = HeaderValue::try_from(span.context().parent.to_string());
        headers.insert("traceparent", parent.expect("hexadecimal digits are a header's value"));
        if let Some(state) = context.state.as_deref().and_then(|state| HeaderValue::try_from(state).ok()) {
            headers.insert("tracestate", state);
        }
        let mut attributes = vec![
            ("http.request.method", Value::Text(request.method().to_string())),
            ("server.address", Value::Text(self.target.authority().to_owned())),
        ];
        let answered = self.pool.ask(request).await;
        let status = answered.as_ref().ok().map(Response::status);
        if let Some(status) = status {
            attributes.push(("http.response.status_code", Value::Number(status.as_u16().into())));
        }
        span.end(status.is_none_or(|status| status.is_server_error()), attributes);
        answered
    }
}
