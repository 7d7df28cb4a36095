//! Keys that are understood and that nothing obeys. A line goes when its feature comes.

use super::reader::Reader;
use super::{BackendKind, Config, Limits, Namespace, Origin, Topology};

/// Adds a fault for each of them that says something else than its default.
pub(super) fn find(config: &Config, reader: &mut Reader) {
    let mut refuse = |key: &str, used: bool| {
        if used {
            reader.clash(&[key], "not supported by this version", "its default, or to leave it out");
        }
    };
    let Config { backend, coherence, .. } = config;
    let reader_url = backend.reader_url.as_ref();
    refuse("backend.reader_url", reader_url.is_some_and(|url| !matches!(url.topology, Topology::Single(_))));
    let clustered = matches!(backend.url.topology, Topology::Cluster(_));
    refuse("coherence.tracking", coherence.tracking && (clustered || backend.kind == BackendKind::Memory));
    for (name, namespace) in &config.namespaces {
        in_namespace(namespace, |key, used| refuse(&format!("namespaces.{name}.{key}"), used));
    }
}

fn in_namespace(namespace: &Namespace, mut refuse: impl FnMut(&str, bool)) {
    if let Origin::Sql(sql) = &namespace.origin {
        refuse("origin.retries", sql.limits.retries != Limits::default().retries);
    }
}
