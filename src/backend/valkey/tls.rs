//! TLS towards the server: the machine's own root certificates, or those of a file.

use std::path::Path;
use std::sync::Arc;

use fred::types::config::{TlsConfig, TlsConnector};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::backend::BackendError;

/// Checks the server's certificate against `ca_file` where one is given, else against the machine's roots.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, BackendError> {
    let refused = |what: String| BackendError::Refused(format!("TLS cannot be set up: {what}"));
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let unusable = |error: &dyn std::fmt::Display| refused(format!("{}: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
                let certificate = certificate.map_err(|error| unusable(&error))?;
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            if roots.is_empty() {
                return Err(unusable(&"no certificate in it"));
            }
        }
        // a root that cannot be read is one the server's certificate will not be found under: told at the handshake
        None => {
            let _skipped = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(config))
}

/// The same connection, encrypted, to a server whose certificate is for `host`.
pub(super) async fn encrypted(
    tls: &TlsConfig,
    host: &str,
    tcp: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, BackendError> {
    let TlsConnector::Rustls(connector) = &tls.connector;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| BackendError::Refused(format!("TLS: {error}")))?;
    let stream = connector.connect(name, tcp).await;
    stream.map_err(|error| BackendError::Unavailable(format!("TLS: {error}")))
}
