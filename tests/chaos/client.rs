//! A client that gives up in time: an instance may be stopped, gone, or in the middle of starting.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The whole time passed.
    Hung,
    /// Nobody was there, or the connection broke.
    Broken,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, as it came.
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; `Null` if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Connections that are kept, and a time-out.
#[derive(Clone)]
pub(crate) struct Client {
    inner: HyperClient<HttpConnector, Full<Bytes>>,
    patience: Duration,
}

impl Client {
    /// A client that waits so long for an answer.
    pub(crate) fn new(patience: Duration) -> Self {
        // One more attempt by itself would be an operation that no history knows of.
        let inner = HyperClient::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .set_host(true)
            .build_http();
        Self { inner, patience }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Failed> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method of HTTP's grammar");
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request that HTTP allows");
        let whole = async {
            let (head, body) = self.inner.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        timeout(self.patience, whole).await.map_err(|_| Failed::Hung)?.ok_or(Failed::Broken)
    }

    /// The body of a page that answers 200.
    pub(crate) async fn text(&self, url: &str) -> Option<String> {
        let answer = self.send("GET", url, &[], "").await.ok()?;
        (answer.status == 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }
}
