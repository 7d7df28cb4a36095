//! The pooled HTTP client behind an origin.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::tls::{self, Roots};

pub(super) type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// How long a connection may lie idle: below the 60 s that servers commonly allow.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a connection may be silent before the kernel asks whether the peer is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The most bytes of an answer's header, and of what is read ahead of its body.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// A client for loads and writes that take `timeout` at most, `max_concurrency` at once.
pub(super) fn build(timeout: Duration, max_concurrency: usize, roots: Roots) -> Client {
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
    // The executor births one task a connection; each ends with its connection, and the pool bounds their number.
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        // Without it idle connections are never closed.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(max_concurrency)
        .http1_max_buf_size(HEADER_BYTES_MAX)
        .build(connector)
}
