//! Certificates: the pair that listeners show, read, checked and exchanged while they serve, and whom clients trust.

mod pair;
mod roots;
mod shown;
mod validity;

pub use rustls::RootCertStore as Roots;
pub use tokio_rustls::TlsAcceptor as Acceptor;

pub use pair::{Pair, PairError, Part};
pub use roots::{RootsError, client_config, roots};
pub use shown::Shown;
pub use validity::Validity;
