//! Valkey Cluster: each shard's keys are in one slot, and so on one server. Every server that has shards of ours has
//! connections of its own, which live and end as those to a single server do; the [`director`] keeps to the map.
//!
//! fred's own way to a Cluster is not used: it follows a slot to a server that no handshake has seen, and loses
//! subscriptions in silence. Nothing is ever sent twice here either: an operation that finds its shard elsewhere fails, and
//! the map is asked for again.

mod director;
mod map;
mod spread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use fred::types::config::Server;
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::director::Director;
pub(super) use self::spread::Spread;
use super::Valkey;
use super::connection::Opener;
use super::context::Context;
use super::link::{Generation, Link};
use crate::backend::{BackendError, LinkState};
use crate::model::Shard;

/// A server that has shards.
pub(super) struct Node {
    server: Server,
    opener: Opener,
    link: Link,
    /// None of the shards is there any more.
    left: CancellationToken,
}

impl Node {
    /// Connects to it, nothing more.
    pub(super) fn opener(&self) -> &Opener {
        &self.opener
    }
}

/// Where a shard is served, as far as is known.
#[derive(Default)]
struct Home {
    /// Connections that were compared with the shard's identity.
    serving: ArcSwapOption<(Arc<Node>, Arc<Generation>)>,
    /// The server has said that it is elsewhere.
    elsewhere: AtomicBool,
}

/// The way to all shards.
pub(super) struct Cluster {
    opener: Opener,
    /// By shard.
    slots: Vec<u16>,
    homes: Vec<Home>,
    state: watch::Sender<LinkState>,
    /// Told whenever a shard is served by other connections.
    changes: watch::Sender<()>,
    /// Something has happened to a connection or a shard.
    news: Notify,
    made: AtomicU64,
    command_timeout: Duration,
}

impl Cluster {
    /// `opener` leads to any nodes of it.
    pub(super) fn new(context: &Context, opener: &Opener, command_timeout: Duration) -> Arc<Self> {
        let shards = || context.keys.count().all();
        Arc::new(Self {
            opener: opener.clone(),
            slots: shards().map(|shard| context.keys.shard(shard).slot).collect(),
            homes: shards().map(|_| Home::default()).collect(),
            state: watch::Sender::new(LinkState::Down("not connected yet".to_owned())),
            changes: watch::Sender::new(()),
            news: Notify::new(),
            made: AtomicU64::new(0),
            command_timeout,
        })
    }

    /// Changes are seen by every holder.
    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// The connections to a shard's server, or why there are none.
    pub(super) fn at(&self, shard: Shard) -> Result<(Arc<Node>, Arc<Generation>), BackendError> {
        let serving = self.home(shard).serving.load();
        serving.as_deref().cloned().ok_or_else(|| {
            BackendError::Unavailable(match &*self.state.borrow() {
                LinkState::Down(why) | LinkState::Refused(why) => why.clone(),
                LinkState::Up { .. } => format!("there is no connection to the server of shard {}", shard.0),
            })
        })
    }

    /// The server of a shard has said that the shard is not there.
    pub(super) fn is_elsewhere(&self, shard: Shard) {
        self.home(shard).elsewhere.store(true, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// Ends the connections that a shard is served by.
    pub(super) fn distrust(&self, shard: Shard, why: &str) {
        if let Ok((_, generation)) = self.at(shard) {
            generation.end(why);
        }
    }

    /// Keeps connections to every server that has shards until `stop`.
    pub(super) async fn keep(&self, valkey: &Valkey, stop: &CancellationToken) {
        let (started, mut starting) = mpsc::channel::<Arc<Node>>(self.homes.len().max(1));
        let running = async {
            let mut running = FuturesUnordered::new();
            loop {
                tokio::select! {
                    node = starting.recv() => match node {
                        Some(node) => running.push(self.keep_node(valkey, node)),
                        None => break,
                    },
                    Some(()) = running.next(), if !running.is_empty() => {}
                }
            }
            while running.next().await.is_some() {}
        };
        join(running, Director::new(self, &valkey.context, started).run(stop)).await;
    }

    async fn keep_node(&self, valkey: &Valkey, node: Arc<Node>) {
        let attend = async |generation: Arc<Generation>| {
            generation.batches().serve(&valkey.context, &generation).await;
        };
        let keeping = node.link.keep(&node.left, || valkey.connect(Some(&node)), attend);
        let telling = async {
            let mut state = node.link.state();
            while state.changed().await.is_ok() {
                self.news.notify_one();
            }
        };
        tokio::select! {
            () = keeping => {}
            () = telling => {}
        }
    }

    fn node(&self, server: &Server) -> Arc<Node> {
        Arc::new(Node {
            server: server.clone(),
            opener: self.opener.at(server),
            link: Link::new("primary", self.command_timeout),
            left: CancellationToken::new(),
        })
    }

    /// Serves a shard by these connections from now on, or by none.
    fn serve(&self, home: &Home, by: Option<(Arc<Node>, Arc<Generation>)>) {
        let by = by.map(Arc::new);
        if by.is_some() {
            self.made.fetch_add(1, Ordering::Relaxed);
        }
        let changed = by.is_some() || home.serving.load().is_some();
        home.serving.store(by);
        if changed {
            self.changes.send_replace(());
        }
    }

    fn home(&self, shard: Shard) -> &Home {
        self.homes.get(usize::from(shard.0)).unwrap_or(&self.homes[0])
    }

    fn shards(&self) -> impl Iterator<Item = (Shard, &Home)> {
        (0..).map(Shard).zip(&self.homes)
    }
}
