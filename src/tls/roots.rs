//! Whose word a client takes for who a server is: a file's certificates, or the system's, or Mozilla's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, Error as TlsError};

use super::Roots;

/// Why a file of root certificates is not used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It is not there, or not to be read.
    #[error("`{}` cannot be read: {why}", file.display())]
    Unreadable {
        /// Its path.
        file: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// It is no PEM, or none with certificates.
    #[error("`{}` is no PEM: {why}", file.display())]
    Malformed {
        /// Its path.
        file: PathBuf,
        /// Where.
        why: pem::Error,
    },
    /// No certificate is in it.
    #[error("`{}` holds no certificate in PEM", file.display())]
    Empty {
        /// Its path.
        file: PathBuf,
    },
    /// A certificate in it is none.
    #[error("`{}` is not usable: {why}", file.display())]
    Unusable {
        /// Its path.
        file: PathBuf,
        /// Why not.
        why: TlsError,
    },
}

/// The certificates in `ca_file`, and no others. Without one the system's; where the system has none, as in an image that
/// holds only the program, Mozilla's. Blocks as long as the file system does.
///
/// # Errors
/// When the file cannot be read or holds no certificates. What is wrong with one of the system's is passed over.
pub fn roots(ca_file: Option<&Path>) -> Result<Roots, RootsError> {
    let mut roots = Roots::empty();
    let Some(file) = ca_file else {
        let _skipped = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        return Ok(roots);
    };
    let named = || file.to_owned();
    let of_pem = |error| match error {
        pem::Error::Io(why) => RootsError::Unreadable { file: named(), why },
        why => RootsError::Malformed { file: named(), why },
    };
    for certificate in CertificateDer::pem_file_iter(file).map_err(of_pem)? {
        let added = roots.add(certificate.map_err(of_pem)?);
        added.map_err(|why| RootsError::Unusable { file: named(), why })?;
    }
    if roots.is_empty() {
        return Err(RootsError::Empty { file: named() });
    }
    Ok(roots)
}

/// What a client needs that trusts these roots.
pub fn client_config(roots: Roots) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of both versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
