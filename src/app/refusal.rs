//! Why an instance did not start.

use std::io;
use std::net::SocketAddr;

use crate::backend::BackendError;
use crate::config::KeysFileError;
use crate::origin::http::HttpSettingsError;
use crate::origin::sql::SqlSettingsError;
use crate::telemetry::trace::ExportError;
use crate::tls::{PairError, RootsError};

/// Why an instance did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address is taken, not this machine's, or not one.
    #[error("`{key}` = {address} cannot be listened on")]
    Bind {
        /// The key in the configuration.
        key: &'static str,
        /// What it says.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// An HTTP origin's settings are refused.
    #[error("`namespaces.{namespace}.origin` is refused")]
    Http {
        /// Which namespace.
        namespace: String,
        /// Why.
        source: HttpSettingsError,
    },
    /// The root certificates for an HTTP origin cannot be had.
    #[error("`namespaces.{namespace}.origin.ca_file` is refused")]
    Roots {
        /// Which namespace.
        namespace: String,
        /// Why.
        source: RootsError,
    },
    /// The listeners' certificate or its key cannot be had.
    #[error("`server.tls` is refused")]
    Certificate(#[from] PairError),
    /// The library of TLS does not do what it is built for.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An SQL origin's settings are refused.
    #[error("`namespaces.{namespace}.origin` is refused")]
    Sql {
        /// Which namespace.
        namespace: String,
        /// Why.
        source: SqlSettingsError,
    },
    /// A list of keys to warm cannot be read.
    #[error("`namespaces.{namespace}.warm.keys_file` cannot be read")]
    Warm {
        /// Which namespace.
        namespace: String,
        /// Why.
        source: KeysFileError,
    },
    /// A source's settings are refused.
    #[error("source `{name}` is refused")]
    Source {
        /// Which source.
        name: String,
        /// Why.
        source: crate::feeds::postgres::SettingsError,
    },
    /// Spans cannot be exported.
    #[error("`tracing` is refused")]
    Tracing(#[from] ExportError),
    /// The backend's settings are refused.
    #[error("`backend` is refused")]
    Backend(#[source] BackendError),
    /// Something that the configuration's own checks should have caught.
    #[error("the configuration is refused: {0}")]
    Config(String),
    /// Two metrics share a name.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] crate::telemetry::MetricsError),
    /// The system does not say where a listener is bound.
    #[error("a listener's address is not known")]
    Address(#[from] io::Error),
}
