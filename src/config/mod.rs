//! What an instance is told: the keys, the layers they come from, and all that is wrong with them at once.
//!
//! Each section is a struct with its keys, a line each: type, default, range. [`load`] puts the layers one over the
//! other, reads every key, and gives either a [`Config`] that needs no further check, or every fault with its place.

mod auth;
mod backend;
mod breaker;
mod coherence;
mod contradictions;
mod declare;
mod fault;
pub(crate) mod fuzzing;
mod instance;
mod kind;
mod layers;
mod log;
mod monitor;
mod namespace;
mod origin;
mod reader;
mod secret;
mod section;
mod server;
mod show;
mod sources;
mod sql_name;
#[cfg(test)]
mod tests;
mod tracing;
mod unsupported;
mod url;
mod warm;
mod write_behind;

pub use auth::{Auth, Right, Token};
pub use backend::{Backend, BackendKind};
pub use breaker::Breaker;
pub use coherence::{Coherence, OnFailover};
pub use fault::{Fault, Faults, Place};
pub use instance::Instance;
pub use layers::Sources;
pub use log::{Log, LogFormat};
pub use monitor::Monitor;
pub use namespace::{Codec, Compression, L1Policy, Mode, Namespace, RateKey, RateLimit, Scope, WriteMode};
pub use origin::{CacheControl, HttpOrigin, Limits, Origin, SqlOrigin};
pub use secret::{Secret, SecretUrl};
pub use server::{Server, Tls};
pub use show::Provenance;
pub use sources::{DebeziumSource, DebeziumTable, PostgresSource, Snapshot, Source, SourceKind};
pub use sql_name::{SqlNameError, SqlTable, sql_column, sql_quoted};
pub use tracing::Tracing;
pub use url::{BackendUrl, Host, Topology};
pub use warm::{KeysFileError, Warm};
pub use write_behind::{Retry, WriteBehind};

use std::collections::BTreeMap;

use reader::Reader;
use section::Section;

/// Everything, checked.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "each section is documented with its type")]
pub struct Config {
    pub instance: Instance,
    pub server: Server,
    pub log: Log,
    pub auth: Auth,
    pub backend: Backend,
    pub coherence: Coherence,
    /// By name, with what `[defaults]` says.
    pub namespaces: BTreeMap<String, Namespace>,
    pub write_behind: WriteBehind,
    pub monitor: Monitor,
    pub tracing: Tracing,
    /// Systems whose changes are read.
    pub sources: Vec<Source>,
}

/// A configuration, and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key with its place; prints the effective configuration.
    pub provenance: Provenance,
}

/// Puts the layers one over the other and reads them.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let mut faults = Vec::new();
    let figment = sources.figment(&mut faults);
    let mut reader = Reader::new(figment, sources.variables());
    let config = reader.root(Config::read);
    contradictions::find(&config, &mut reader);
    unsupported::find(&config, &mut reader);
    faults.append(&mut reader.faults);
    if faults.is_empty() {
        Ok(Loaded { config, provenance: Provenance(reader.lines) })
    } else {
        Err(Faults::new(faults))
    }
}

impl Config {
    fn read(section: &mut Section<'_>) -> Self {
        let mut instance = section.field("instance").table(Instance::read);
        instance.complete();
        let valid =
            |name: &str| crate::model::Namespace::new(name).map(drop).map_err(|error| error.to_string());
        Self {
            instance,
            server: section.field("server").table(Server::read),
            log: section.field("log").table(Log::read),
            auth: section.field("auth").table(Auth::read),
            backend: section.field("backend").table(|section| {
                let mut backend = Backend::read(section);
                backend.complete(section);
                backend
            }),
            coherence: section.field("coherence").table(Coherence::read),
            namespaces: section.map(
                "namespaces",
                "defaults",
                ("coherence", "max_staleness"),
                valid,
                Namespace::read,
            ),
            write_behind: section.field("write_behind").table(WriteBehind::read),
            monitor: section.field("monitor").table(Monitor::read),
            tracing: section.field("tracing").table(Tracing::read),
            sources: section.field("sources").tables(Source::read),
        }
    }
}
