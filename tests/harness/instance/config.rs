//! The configuration file of an instance under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::harness::certificates::{Authority, Issued};

/// The namespace that instances have unless a test says otherwise.
pub(crate) const NAMESPACE: &str = "things";

/// A configuration: what a test needs, on top of the defaults.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    table: Table,
    env: Vec<(String, String)>,
    ca_file: Option<PathBuf>,
}

impl Config {
    /// An instance of that name in front of the Valkey at `url`, with no namespace yet.
    pub(crate) fn new(id: &str, url: &str) -> Self {
        Self { table: Table::new(), env: Vec::new(), ca_file: None }
            .set("instance.id", id)
            .set("backend.url", url)
            .set("log.format", "json")
            .set("log.level", "debug")
            // It reads origins whose requests tests count.
            .set("monitor.sample", 0.0)
    }

    /// Adds a namespace over an HTTP origin whose URLs follow that template.
    pub(crate) fn namespace(self, name: &str, origin_url: &str) -> Self {
        self.set(&format!("namespaces.{name}.origin.kind"), "http")
            .set(&format!("namespaces.{name}.origin.url"), origin_url)
    }

    /// Sets one key, by its dotted path: `set("coherence.max_staleness", "500ms")`.
    ///
    /// # Panics
    ///
    /// If a part of the path before the last is no table.
    pub(crate) fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let mut table = &mut self.table;
        let mut rest = path;
        while let Some((part, after)) = rest.split_once('.') {
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            table = inner.as_table_mut().unwrap_or_else(|| panic!("`{part}` of `{path}` is no table"));
            rest = after;
        }
        table.insert(rest.to_owned(), value.into());
        self
    }

    /// Takes a key out again, by its dotted path of two parts.
    pub(crate) fn without(mut self, path: &str) -> Self {
        let (table, key) = path.split_once('.').expect("a path of two parts");
        self.table.get_mut(table).and_then(Value::as_table_mut).and_then(|table| table.remove(key));
        self
    }

    /// Sets a variable of the process: for secrets, which are in no file.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has both listeners encrypted, with that certificate of that authority.
    pub(crate) fn encrypted(self, issued: &Issued, authority: &Authority) -> Self {
        let text = |path: &Path| path.to_str().expect("a path of the tests is text").to_owned();
        let config = self.set("server.tls.cert", text(&issued.cert)).set("server.tls.key", text(&issued.key));
        Self { ca_file: Some(authority.file()), ..config }
    }

    /// The certificate of the authority that its listeners' certificate comes from, if they are encrypted.
    pub(super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The variables.
    pub(super) fn variables(&self) -> &[(String, String)] {
        &self.env
    }

    /// The instance's name.
    pub(crate) fn id(&self) -> &str {
        self.table["instance"]["id"].as_str().expect("the name is a text")
    }

    /// The file, with the listeners on those addresses unless the test has set others.
    pub(crate) fn file(&self, data: SocketAddr, admin: SocketAddr) -> String {
        let mut file = self.clone();
        for (key, addr) in [("listen", data), ("admin_listen", admin)] {
            if self.table.get("server").and_then(|server| server.get(key)).is_none() {
                file = file.set(&format!("server.{key}"), addr.to_string());
            }
        }
        file.table.to_string()
    }
}
