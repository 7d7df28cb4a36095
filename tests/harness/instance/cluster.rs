//! Several instances in front of one Valkey and one origin, each with a wire of its own to Valkey.

use futures_util::future::join_all;

use super::{Config, Instance, NAMESPACE};
use crate::harness::origin::Origin;
use crate::harness::proxy::Proxy;
use crate::harness::server::{Options, Server};

/// What a cluster is made of.
pub(crate) struct Setup {
    /// How many instances, named `inst-0` and up.
    pub(crate) instances: usize,
    /// Their Valkey.
    pub(crate) server: Options,
    /// Settings that all instances have beside the harness's own: dotted paths and values.
    pub(crate) settings: Vec<(String, toml::Value)>,
    /// Namespaces beside [`NAMESPACE`] over the same origin.
    pub(crate) namespaces: Vec<String>,
}

impl Setup {
    /// So many instances, with the defaults.
    pub(crate) fn new(instances: usize) -> Self {
        Self { instances, server: Options::default(), settings: Vec::new(), namespaces: Vec::new() }
    }

    /// Sets one key of every instance's configuration.
    pub(crate) fn set(mut self, path: &str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((path.to_owned(), value.into()));
        self
    }

    /// Adds a namespace over the same origin as [`NAMESPACE`].
    pub(crate) fn beside(mut self, namespace: &str) -> Self {
        self.namespaces.push(namespace.to_owned());
        self
    }

    /// Sets one key of the namespace [`NAMESPACE`] in every instance.
    pub(crate) fn namespace(self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.set(&format!("namespaces.{NAMESPACE}.{key}"), value)
    }
}

/// One instance and its wire to Valkey.
pub(crate) struct Node {
    /// The instance.
    pub(crate) instance: Instance,
    /// Between it and Valkey.
    pub(crate) valkey: Proxy,
}

/// A cluster under test.
pub(crate) struct Cluster {
    /// The instances.
    pub(crate) nodes: Vec<Node>,
    /// The Valkey they share.
    pub(crate) server: Server,
    /// The origin of [`NAMESPACE`].
    pub(crate) origin: Origin,
}

impl Cluster {
    /// Starts so many instances with the defaults, and waits until all are ready.
    pub(crate) async fn start(instances: usize) -> Self {
        Self::with(Setup::new(instances)).await
    }

    /// Starts what `setup` says, and waits until all instances are ready.
    pub(crate) async fn with(setup: Setup) -> Self {
        let server = Server::with(setup.server.clone()).await;
        let origin = Origin::start().await;
        let nodes = (0..setup.instances).map(|number| {
            let (server, origin, setup) = (&server, &origin, &setup);
            async move {
                let valkey = Proxy::start(server.addr()).await;
                let config = Config::new(&format!("inst-{number}"), &server.url_at(valkey.addr()))
                    .namespace(NAMESPACE, &origin.url());
                let beside = &setup.namespaces;
                let config = beside.iter().fold(config, |config, name| config.namespace(name, &origin.url()));
                let config = setup
                    .settings
                    .iter()
                    .fold(config, |config, (path, value)| config.set(path, value.clone()));
                Node { instance: Instance::start(config).await, valkey }
            }
        });
        let nodes = join_all(nodes).await;
        Self { nodes, server, origin }
    }

    /// An instance, by its number.
    pub(crate) fn instance(&self, number: usize) -> &Instance {
        &self.nodes[number].instance
    }

    /// An instance's wire to Valkey, by its number.
    pub(crate) fn wire(&self, number: usize) -> &Proxy {
        &self.nodes[number].valkey
    }
}
