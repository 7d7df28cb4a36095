//! A small HTTP client for the tests: whatever was answered, with nothing followed, retried or decoded.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use coherd::tls::{Roots, client_config, roots};
use http_body_util::{BodyExt, Full};
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Longer than anything answers that answers at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with connections of its own.
#[derive(Clone)]
pub(crate) struct Client(HyperClient<Connector, Full<Bytes>>);

type Connector = HttpsConnector<HttpConnector>;

impl Client {
    /// A client.
    pub(crate) fn new() -> Self {
        // No connection is kept: which one is still good would depend on what the test did to the server.
        Self(HyperClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector(None)))
    }

    /// A client of `https` servers whose certificates come from that authority.
    pub(crate) fn trusting(ca_file: &Path) -> Self {
        let connector = connector(Some(ca_file));
        Self(HyperClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }

    /// A client that keeps its connections, for many requests to a server that stays.
    pub(crate) fn keeping() -> Self {
        Self(HyperClient::builder(TokioExecutor::new()).build(connector(None)))
    }

    /// A client that speaks HTTP/2 from the first byte.
    pub(crate) fn http2() -> Self {
        Self(
            HyperClient::builder(TokioExecutor::new())
                .http2_only(true)
                .pool_max_idle_per_host(0)
                .build(connector(None)),
        )
    }

    /// A client whose connections come from that address of this machine.
    pub(crate) fn from_address(address: IpAddr) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_local_address(Some(address));
        let connector = encrypting(tcp, None);
        Self(HyperClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }

    /// A request with any method.
    pub(crate) fn request(&self, method: &str, url: &str) -> Request {
        let method = Method::from_bytes(method.as_bytes()).expect("a method of HTTP's grammar");
        let head = hyper::Request::builder().method(method).uri(url);
        Request { client: self.0.clone(), name: url.to_owned(), head, body: Bytes::new() }
    }

    /// `GET`.
    pub(crate) fn get(&self, url: &str) -> Request {
        self.request("GET", url)
    }

    /// `PUT`.
    pub(crate) fn put(&self, url: &str, body: impl Into<Bytes>) -> Request {
        self.request("PUT", url).body(body)
    }

    /// `POST`, of JSON.
    pub(crate) fn post(&self, url: &str, json: &serde_json::Value) -> Request {
        self.request("POST", url).header(CONTENT_TYPE.as_str(), "application/json").body(json.to_string())
    }

    /// `PURGE`.
    pub(crate) fn purge(&self, url: &str) -> Request {
        self.request("PURGE", url)
    }

    /// `DELETE`.
    pub(crate) fn delete(&self, url: &str) -> Request {
        self.request("DELETE", url)
    }
}

fn connector(ca_file: Option<&Path>) -> Connector {
    encrypting(HttpConnector::new(), ca_file)
}

fn encrypting(mut tcp: HttpConnector, ca_file: Option<&Path>) -> Connector {
    tcp.enforce_http(false);
    let roots =
        ca_file.map_or_else(Roots::empty, |file| roots(Some(file)).expect("an authority's certificate"));
    let builder = HttpsConnectorBuilder::new().with_tls_config(client_config(roots));
    builder.https_or_http().enable_http1().wrap_connector(tcp)
}

/// A request that is not sent yet.
pub(crate) struct Request {
    client: HyperClient<Connector, Full<Bytes>>,
    name: String,
    head: hyper::http::request::Builder,
    body: Bytes,
}

impl Request {
    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head = self.head.header(name, value);
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it.
    ///
    /// # Panics
    ///
    /// If there is no whole answer.
    pub(crate) async fn send(self) -> Response {
        let name = self.name.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Sends it; an error tells why there is no whole answer.
    pub(crate) async fn try_send(self) -> Result<Response, String> {
        let request = self.head.body(Full::new(self.body)).map_err(|error| error.to_string())?;
        let whole = async {
            let response = self.client.request(request).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
        };
        timeout(PATIENCE, whole).await.map_err(|_| format!("no answer within {PATIENCE:?}"))?
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, as it came.
    pub(crate) body: Bytes,
}

impl Response {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}
