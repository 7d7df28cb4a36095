//! Connections to an HTTP origin that wait for their next request. How many there are is bounded by who asks: each has one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::Instant;
use tower_service::Service as _;

use super::talk::{Answer, Ask, Talk};
use crate::tls::{self, Roots};

/// How long a connection may lie idle: below the 60 s that servers commonly allow. Those that are too old are found by the
/// room's housekeeping, twice a second.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a connection may be silent before the kernel asks whether the peer is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The way to one origin.
///
/// Not hyper-util's pool: that one gives every connection a task of its own, which nobody supervises, and each request
/// wakes that task to be sent and is woken by it with the answer.
pub(super) struct Pool {
    connector: HttpsConnector<HttpConnector>,
    /// Scheme and authority.
    origin: Uri,
    host: HeaderValue,
    shelf: Shelf,
}

/// Those that lie idle, the last used at the end.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Vec<Idle>>>);

struct Idle {
    talk: Talk,
    since: Instant,
}

impl Idle {
    fn is_old(&self) -> bool {
        IDLE_MAX < self.since.elapsed()
    }
}

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// There is no connection.
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It broke, or what came is not HTTP.
    #[error("no answer")]
    Broken(#[from] hyper::Error),
}

impl Pool {
    /// To the origin at `origin` (scheme and authority), for loads and writes that take `timeout` at most. Opens nothing
    /// yet.
    pub(super) fn new(origin: Uri, timeout: Duration, roots: Roots) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // Half of the whole, so that a host that does not answer leaves time for another attempt.
        tcp.set_connect_timeout(Some(timeout / 2));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(roots))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let host = host(&origin);
        Self { connector, origin, host, shelf: Shelf::default() }
    }

    /// Asks for `path` there, up to the answer's header. What could not be sent over a connection that had lain idle goes
    /// over another.
    pub(super) async fn ask(&self, mut ask: Ask) -> Result<Response<Answer>, Failed> {
        let path = ask.uri().path_and_query().cloned();
        *ask.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        ask.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
        loop {
            let (mut talk, new) = match self.shelf.take() {
                Some(talk) => (talk, false),
                None => (self.connect().await?, true),
            };
            match talk.ask(ask).await {
                Ok(answer) => {
                    return Ok(answer.map(|body| Answer::new(body, talk, self.shelf.clone())));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !new => ask = unsent,
                    Some(_) | None => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Talk, Failed> {
        let stream = self.connector.clone().call(self.origin.clone()).await.map_err(Failed::Connect)?;
        Ok(Talk::begin(stream).await?)
    }

    /// Closes those that have lain idle for long, or that the origin has closed.
    pub(super) fn tidy(&self) {
        let gone: Vec<Idle> =
            self.shelf.idle().extract_if(.., |it| it.is_old() || !it.talk.is_free()).collect();
        // Nobody waits for the shelf while they are closed.
        drop(gone);
    }

    /// How many lie idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.shelf.idle().len()
    }
}

impl Shelf {
    /// Puts one back that is free.
    pub(super) fn put(&self, talk: Talk) {
        self.idle().push(Idle { talk, since: Instant::now() });
    }

    /// The last used of those that are still open.
    fn take(&self) -> Option<Talk> {
        loop {
            let mut last = self.idle().pop()?;
            if !last.is_old() && last.talk.is_free() {
                return Some(last.talk);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `Host`: the authority, without the scheme's own port (RFC 9110, section 4.2.3).
fn host(origin: &Uri) -> HeaderValue {
    let default = if origin.scheme_str() == Some("https") { 443 } else { 80 };
    let host = origin.host().unwrap_or_default();
    let text = match origin.port_u16().filter(|port| *port != default) {
        Some(port) => Bytes::from(format!("{host}:{port}")),
        None => Bytes::copy_from_slice(host.as_bytes()),
    };
    HeaderValue::from_maybe_shared(text).expect("a host of a URL is a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_named_without_the_port_that_goes_without_saying() {
        for (origin, named) in [
            ("http://h:80", "h"),
            ("http://h:443", "h:443"),
            ("https://h:443", "h"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("http://h", "h"),
        ] {
            assert_eq!(host(&origin.parse().unwrap()), named, "{origin}");
        }
    }
}
