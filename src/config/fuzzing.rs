//! Configurations from anywhere: see [`crate::fuzzing`].

use std::ffi::OsString;
use std::io::Write as _;

use super::{Sources, Topology, load, url};

/// A file.
pub(crate) fn file(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(bytes).expect("a temporary file can be written");
    check(&Sources { files: vec![file.path().to_owned()], ..Sources::default() });
}

/// `--set` arguments and the environment.
pub(crate) fn set(sets: Vec<String>, env: Vec<(OsString, OsString)>) {
    check(&Sources { sets, env, ..Sources::default() });
}

/// `backend.url`: as it is handed on, without user and password, and how it is understood.
pub(crate) fn backend_url(text: &str) -> Option<(String, Understood)> {
    let url = url::parse(text).ok()?;
    let plain = url.without_credentials().to_string();
    let again = url::parse(&plain).expect("an address reads as it is written");
    assert_eq!(again, url.without_credentials());
    let hosts = match &url.topology {
        Topology::Single(host) => std::slice::from_ref(host),
        Topology::Cluster(hosts) | Topology::Sentinel { hosts, .. } => hosts,
    };
    Some((plain, (url.tls, hosts.iter().map(ToString::to_string).collect(), url.database)))
}

/// Whether it is encrypted, the hosts with their ports, and the database.
type Understood = (bool, Vec<String>, u8);

fn check(sources: &Sources) {
    match load(sources) {
        Ok(loaded) => assert!(!loaded.provenance.to_string().is_empty()),
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
}
