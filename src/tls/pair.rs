//! A certificate chain and its private key: read from two files and checked against each other.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use sha2::{Digest as _, Sha256};

use super::validity::Validity;

/// The most bytes of either file: a chain of a few certificates has some thousands.
const BYTES_MAX: u64 = 1 << 20;

/// What a listener shows to whoever connects, and proves to be its own.
pub struct Pair {
    certified: Arc<CertifiedKey>,
    validity: Option<Validity>,
    /// Of both files' bytes: tells whether they say something else by now.
    digest: [u8; 32],
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate chain.
    Cert,
    /// The private key.
    Key,
}

/// Why two files make no pair. Names the file; holds nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The file is not there, or not to be read, or too large.
    #[error("`{}` cannot be read: {why}", file.display())]
    Unreadable {
        /// Which of the two.
        part: Part,
        /// Its path.
        file: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Nothing of what it should hold is in it.
    #[error("`{}` holds no {} in PEM", file.display(), wanted(*part))]
    Empty {
        /// Which of the two.
        part: Part,
        /// Its path.
        file: PathBuf,
    },
    /// It is no PEM from some line on.
    #[error("`{}` is no PEM: {why}", file.display())]
    Malformed {
        /// Which of the two.
        part: Part,
        /// Its path.
        file: PathBuf,
        /// Where.
        why: pem::Error,
    },
    /// It is read, and means nothing that TLS can use.
    #[error("`{}` is not usable: {why}", file.display())]
    Unusable {
        /// Which of the two.
        part: Part,
        /// Its path.
        file: PathBuf,
        /// Why not.
        why: TlsError,
    },
    /// Each is good, and they are not for each other.
    #[error("the key in `{}` is not that of the certificate in `{}`", key.display(), cert.display())]
    Mismatch {
        /// The certificate's path.
        cert: PathBuf,
        /// The key's path.
        key: PathBuf,
    },
}

impl PairError {
    /// Which file is to be mended.
    pub fn part(&self) -> Part {
        match self {
            Self::Unreadable { part, .. }
            | Self::Empty { part, .. }
            | Self::Malformed { part, .. }
            | Self::Unusable { part, .. } => *part,
            Self::Mismatch { .. } => Part::Key,
        }
    }
}

impl Pair {
    /// Reads both files; blocks as long as the file system does.
    ///
    /// # Errors
    /// When one cannot be read, or they are no pair. A certificate that has expired is one.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, PairError> {
        let (chain_pem, key_pem) = (read(Part::Cert, cert)?, read(Part::Key, key)?);
        let digest = Sha256::new_with_prefix(&chain_pem).chain_update([0]).chain_update(&key_pem).finalize();

        let malformed = |why| PairError::Malformed { part: Part::Cert, file: cert.to_owned(), why };
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&chain_pem).collect::<Result<_, _>>().map_err(malformed)?;
        let leaf =
            chain.first().ok_or_else(|| PairError::Empty { part: Part::Cert, file: cert.to_owned() })?;
        let validity = Validity::of(leaf);
        let signing = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| match error {
            pem::Error::NoItemsFound => PairError::Empty { part: Part::Key, file: key.to_owned() },
            why => PairError::Malformed { part: Part::Key, file: key.to_owned(), why },
        })?;
        let unusable = |part, file: &Path, why| PairError::Unusable { part, file: file.to_owned(), why };
        let signing =
            ring::sign::any_supported_type(&signing).map_err(|why| unusable(Part::Key, key, why))?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(TlsError::InconsistentKeys(_)) => {
                return Err(PairError::Mismatch { cert: cert.to_owned(), key: key.to_owned() });
            }
            Err(why) => return Err(unusable(Part::Cert, cert, why)),
        }
        Ok(Self { certified: Arc::new(certified), validity, digest: digest.into() })
    }

    /// Whether both came from files of the same content.
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// From when until when the certificate counts; `None` if it does not say so in a way that is understood.
    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("validity", &self.validity).finish_non_exhaustive()
    }
}

fn read(part: Part, file: &Path) -> Result<Vec<u8>, PairError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    let whole = read.and_then(|count| match u64::try_from(count) {
        Ok(0..=BYTES_MAX) => Ok(bytes),
        _ => Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes"))),
    });
    whole.map_err(|why| PairError::Unreadable { part, file: file.to_owned(), why })
}

fn wanted(part: Part) -> &'static str {
    match part {
        Part::Cert => "certificate",
        Part::Key => "private key without a passphrase",
    }
}
