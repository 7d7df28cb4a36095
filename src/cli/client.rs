//! A small HTTP client for an instance's listeners.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::args::Access;
use super::exit::{Fault, told};
use crate::tls::{self, Roots};

/// How long an answer, and each further piece of it, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is found after the silence and these probes.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES_MAX: u32 = 3;
/// What stays as it is in a path: RFC 3986's unreserved characters, and `/`, which keys may hold.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A listener's address: scheme, host, and perhaps a path in front.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Base(String);

/// A text that is no [`Base`]. It does not repeat the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BaseError {
    /// Not a URL with scheme and host.
    #[error("it is not a URL such as http://127.0.0.1:8080")]
    Malformed,
    /// Neither http nor https.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// A user or a password in it.
    #[error("it holds a user or a password: coherd takes a token, by --token or COHERD_TOKEN")]
    User,
    /// A query.
    #[error("it holds a query")]
    Query,
}

impl FromStr for Base {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        let uri: Uri = text.parse().map_err(|_| BaseError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BaseError::Malformed);
        };
        if scheme != "http" && scheme != "https" {
            return Err(BaseError::Scheme);
        }
        if authority.as_str().contains('@') {
            return Err(BaseError::User);
        }
        if uri.query().is_some() {
            return Err(BaseError::Query);
        }
        Ok(Self(format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'))))
    }
}

impl Base {
    fn is_encrypted(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl From<SocketAddr> for Base {
    fn from(address: SocketAddr) -> Self {
        Self(format!("http://{address}"))
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text within a path.
pub(super) fn in_path(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, IN_PATH)
}

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query, encoded.
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// How long the answer may take to begin.
    pub(super) patience: Duration,
}

impl Ask {
    /// Without headers or body.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new(), patience: PATIENCE }
    }
}

/// What talks to one listener.
#[derive(Debug)]
pub(super) struct Client {
    base: Base,
    authorization: Option<HeaderValue>,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// Connects when it is first asked.
    pub(super) fn new(base: &Base, access: &Access) -> Result<Self, Fault> {
        let authorization = access.token().map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                Fault::usage("the token holds what a header cannot: only visible ASCII is sent")
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_keepalive(Some(SILENCE_MAX));
        tcp.set_keepalive_interval(Some(PROBE_EVERY));
        tcp.set_keepalive_retries(Some(PROBES_MAX));
        let roots = if base.is_encrypted() {
            tls::roots(access.ca_file()).map_err(|error| Fault::usage(told(&error)))?
        } else {
            Roots::empty()
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(roots))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = legacy::Client::builder(TokioExecutor::new()).timer(TokioTimer::new()).build(connector);
        Ok(Self { base: base.clone(), authorization: authorization.transpose()?, http })
    }

    /// Sends one request; the answer's body is read as it comes.
    pub(super) async fn send(&self, ask: Ask) -> Result<Answer, Fault> {
        let Ask { method, path, headers, body, patience } = ask;
        let url = format!("{}{path}", self.base);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            url.parse().map_err(|error| Fault::usage(format!("{url} is no URL: {}", told(&error))))?;
        let fields = request.headers_mut();
        fields.insert(USER_AGENT, HeaderValue::from_static(concat!("coherd/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in headers {
            fields.append(name, value);
        }
        if let Some(authorization) = &self.authorization {
            fields.insert(AUTHORIZATION, authorization.clone());
        }
        let answer = timeout(patience, self.http.request(request)).await;
        let answer = answer.map_err(|_| Fault::failed(slow(&url, patience)))?.map_err(|error| {
            if error.is_connect() {
                Fault::unreachable(format!("{} is not reachable: {}", self.base, told(&error)))
            } else {
                Fault::failed(format!("{url} did not answer: {}", told(&error)))
            }
        })?;
        let (head, body) = answer.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body, url })
    }
}

/// An answer whose body has yet to be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Incoming,
    url: String,
}

impl Answer {
    /// The next piece of the body, waiting for it as long as it takes: for streams. `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| {
                Fault::failed(format!("the answer of {} broke off: {}", self.url, told(&error)))
            })?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The next piece of the body, if it comes in time.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        match timeout(PATIENCE, self.next()).await {
            Ok(piece) => piece,
            Err(_) => Err(Fault::failed(slow(&self.url, PATIENCE))),
        }
    }

    /// The whole body, if it has no more than `max` bytes.
    pub(super) async fn whole(&mut self, max: usize) -> Result<Bytes, Fault> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if max < whole.len() + piece.len() {
                return Err(Fault::failed(format!("the answer of {} has more than {max} bytes", self.url)));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Its body, once that is whole, as a document.
    pub(super) fn read<T: DeserializeOwned>(&self, document: &[u8]) -> Result<T, Fault> {
        serde_json::from_slice(document).map_err(|error| {
            Fault::failed(format!("the answer of {} does not read as expected: {error}", self.url))
        })
    }

    /// Where it comes from.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A header, as far as it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn slow(url: &str, patience: Duration) -> String {
    format!("{url} did not answer within {}", humantime::format_duration(patience))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::testing::{Server, text};
    use super::*;

    #[test]
    fn a_base_is_scheme_and_host_and_perhaps_a_path() {
        let base = |text: &str| text.parse::<Base>().map(|base| base.to_string());
        assert_eq!(base("http://127.0.0.1:8080"), Ok("http://127.0.0.1:8080".to_owned()));
        assert_eq!(base("https://host/coherd/"), Ok("https://host/coherd".to_owned()));
        assert_eq!(base("127.0.0.1:8080"), Err(BaseError::Malformed));
        assert_eq!(base("valkey://host"), Err(BaseError::Scheme));
        assert_eq!(base("http://me:hidden@host"), Err(BaseError::User));
        assert_eq!(base("http://host/?a=b"), Err(BaseError::Query));
    }

    #[test]
    fn a_key_keeps_its_slashes_and_nothing_that_means_something_in_a_url() {
        assert_eq!(in_path("eu/de/7 ä?#%+").to_string(), "eu/de/7%20%C3%A4%3F%23%25%2B");
    }

    #[tokio::test]
    async fn the_token_is_sent_and_a_base_may_have_a_path() {
        let server = Server::start(|request| {
            assert_eq!(request.headers()["authorization"], "Bearer t0ken");
            text(200, request.uri().path())
        })
        .await;
        let base: Base = format!("{}/behind/", server.url()).parse().unwrap();
        let client = Client::new(&base, &Access::of("t0ken")).unwrap();
        let mut answer = client.send(Ask::new(Method::GET, "/stats")).await.unwrap();
        assert_eq!(answer.whole(100).await.unwrap(), "/behind/stats");
        let mut answer = client.send(Ask::new(Method::GET, "/stats")).await.unwrap();
        assert!(matches!(answer.whole(5).await, Err(Fault::Told(..))), "more than asked for");
        assert!(!format!("{client:?}").contains("t0ken"));
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_the_url_and_a_token_that_cannot_be_sent_without_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(&url.parse().unwrap(), &Access::default()).unwrap();
        let fault = client.send(Ask::new(Method::GET, "/stats")).await.unwrap_err();
        let Fault::Told(exit, message) = fault else { panic!("not told") };
        assert_eq!(exit.code(), 3);
        assert!(message.contains(&url) && message.contains("refused"), "{message}");
        let Err(Fault::Told(exit, message)) = Client::new(&url.parse().unwrap(), &Access::of("hid\nden"))
        else {
            panic!("a line break in a header")
        };
        assert_eq!(exit.code(), 2);
        assert!(!message.contains("hid"), "{message}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let client = Client::new(&base, &Access::default()).unwrap();
        let ask = Ask { patience: Duration::from_millis(50), ..Ask::new(Method::GET, "/stats") };
        let expected = format!("{base}/stats did not answer within 50ms");
        assert_eq!(client.send(ask).await.unwrap_err(), Fault::failed(expected));
    }
}
