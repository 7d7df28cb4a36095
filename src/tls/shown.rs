//! The pair that handshakes are answered with, exchanged at any time: connections that are open keep what they began with.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::pair::Pair;

/// Clones share the pair.
#[derive(Clone, Debug)]
pub struct Shown(Arc<ArcSwap<Pair>>);

impl Shown {
    /// Begins with this pair.
    pub fn new(pair: Pair) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(pair)))
    }

    /// The pair that the next handshake shows.
    pub fn pair(&self) -> Arc<Pair> {
        self.0.load_full()
    }

    /// Shows another one from the next handshake on.
    pub fn exchange(&self, pair: Pair) {
        self.0.store(Arc::new(pair));
    }

    /// What answers handshakes: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When the library lacks what it is built with.
    pub fn acceptor(&self) -> Result<TlsAcceptor, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _asked: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified())
    }
}
