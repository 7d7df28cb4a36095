//! What the instances of a world share: one server, or a cluster of them.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use crate::harness::resp::Reply;
use crate::harness::ring::Ring;
use crate::harness::server::{Options, Server};

/// Shards on a cluster: more than it has primaries.
const SHARDS: u16 = 5;

/// What they share.
pub(crate) enum Shared {
    /// A server. Faults of a single one take it as such.
    One(Box<Server>),
    /// A cluster.
    Ring(Ring),
}

impl Shared {
    /// Starts it.
    pub(crate) async fn start(options: Options, ring: bool) -> Self {
        if ring {
            Self::Ring(Ring::with(options).await)
        } else {
            Self::One(Box::new(Server::with(options).await))
        }
    }

    /// Its URL for an instance with a wire to the server that is the primary now.
    pub(crate) fn url_at(&self, wire: SocketAddr) -> String {
        match self {
            Self::One(server) => server.url_at(wire),
            // Its servers tell their own addresses to whoever asks: there is no wire between.
            Self::Ring(ring) => ring.url(),
        }
    }

    /// `backend.shards`.
    pub(crate) fn shards(&self) -> u16 {
        match self {
            Self::One(_) => 1,
            Self::Ring(_) => SHARDS,
        }
    }

    /// The server that has the first shard.
    pub(crate) async fn primary(&self) -> &Server {
        match self {
            Self::One(server) => server,
            Self::Ring(ring) => ring.primary("coherd:{main}:ctl").await,
        }
    }

    /// A command about a key, to the server that has it.
    pub(crate) async fn about(&self, key: &str, words: &[&str]) -> Reply {
        match self {
            Self::One(server) => server.command(words).await,
            Self::Ring(ring) => ring.command(key, words).await,
        }
    }

    /// The cluster.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub(crate) fn ring(&mut self) -> &mut Ring {
        match self {
            Self::Ring(ring) => ring,
            Self::One(_) => panic!("a fault of a cluster, and there is one server"),
        }
    }
}

/// What every key of a shard begins with.
pub(crate) fn base(shard: u16) -> String {
    match shard {
        0 => "coherd:{main}:".to_owned(),
        other => format!("coherd:{{main.{other}}}:"),
    }
}

impl Deref for Shared {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::One(server) => server,
            Self::Ring(_) => panic!("a fault of a single server, and there are several"),
        }
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut Server {
        match self {
            Self::One(server) => server,
            Self::Ring(_) => panic!("a fault of a single server, and there are several"),
        }
    }
}
