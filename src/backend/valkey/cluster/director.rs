//! Keeps to the map: asks for it when a shard is not served, and compares every shard with the server it is on before it
//! is served from there.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fred::types::config::Server;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::map::Map;
use super::{Cluster, Home, Node};
use crate::backend::valkey::context::Context;
use crate::backend::valkey::errors::is_no_cluster;
use crate::backend::valkey::handshake::{self, Fault};
use crate::backend::{BackendError, LinkState};
use crate::model::Shard;

/// Between two questions for the map while a shard is not served: the first, and what doubling it ends at.
const ASK_MIN: Duration = Duration::from_millis(50);
const ASK_MAX: Duration = Duration::from_secs(1);
/// Nobody has asked for so long: whatever it is, it is new.
const CALM: Duration = Duration::from_secs(5);
/// For one node's answer: there are others.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same while all are served: for new nodes to be known when they are needed.
const ASK_ALL_WELL: Duration = Duration::from_secs(10);

pub(super) struct Director<'a> {
    cluster: &'a Cluster,
    context: &'a Context,
    started: mpsc::Sender<Arc<Node>>,
    /// Those that have shards.
    nodes: Vec<Arc<Node>>,
    /// By shard: where the map says it is.
    seats: Vec<Option<Arc<Node>>>,
    /// Whom to ask beside those and the servers of the URL.
    known: Vec<Server>,
    /// Whom to ask next.
    next: usize,
    /// When that was done last, and how long it is not done again.
    asked: Option<Instant>,
    pause: Duration,
    /// Why the last one that was asked had no map.
    unheard: Option<String>,
    /// Why the servers must not be used.
    refused: Option<String>,
}

impl<'a> Director<'a> {
    pub(super) fn new(cluster: &'a Cluster, context: &'a Context, started: mpsc::Sender<Arc<Node>>) -> Self {
        Self {
            cluster,
            context,
            started,
            nodes: Vec::new(),
            seats: cluster.homes.iter().map(|_| None).collect(),
            known: Vec::new(),
            next: 0,
            asked: None,
            pause: Duration::ZERO,
            unheard: None,
            refused: None,
        }
    }

    /// Until `stop`; then nothing is served any more.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let mut well = false;
        loop {
            let round = async {
                if self.due(well) <= Instant::now() {
                    self.ask().await;
                }
                well = self.look().await;
                tokio::select! {
                    () = self.cluster.news.notified() => {}
                    () = sleep_until(self.due(well)) => {}
                }
            };
            if stop.run_until_cancelled(round).await.is_none() {
                break;
            }
        }
        for (_, home) in self.cluster.shards() {
            home.serving.store(None);
        }
        for node in &self.nodes {
            node.left.cancel();
        }
        self.cluster.changes.send_replace(());
        self.cluster.state.send_replace(LinkState::Down("stopped".to_owned()));
    }

    /// When to ask for the map. The pause counts also where all was well for a moment.
    fn due(&self, well: bool) -> Instant {
        match self.asked {
            Some(asked) => asked + if well { ASK_ALL_WELL } else { self.pause },
            None => Instant::now(),
        }
    }

    /// Asks one node for the map, another each time: one that is cut off from the others knows an old one.
    async fn ask(&mut self) {
        let calm = self.asked.is_none_or(|asked| CALM < asked.elapsed());
        self.pause = if calm { ASK_MIN } else { (self.pause * 2).clamp(ASK_MIN, ASK_MAX) };
        self.asked = Some(Instant::now());
        let connected = self.nodes.iter().filter(|node| node.link.generation().is_some());
        let mut whom: Vec<Server> = connected.map(|node| node.server.clone()).collect();
        for server in self.known.iter().chain(&self.cluster.opener.servers()) {
            if !whom.contains(server) {
                whom.push(server.clone());
            }
        }
        let Some(server) = whom.get(self.next % whom.len().max(1)) else { return };
        self.next = self.next.wrapping_add(1);
        let asking = timeout(PATIENCE, self.map_of(server)).await;
        match asking.unwrap_or(Err(BackendError::TimedOut)) {
            Ok(map) => {
                (self.unheard, self.refused) = (None, None);
                self.settle(&map).await;
                if !map.known.is_empty() {
                    self.known = map.known;
                }
            }
            Err(BackendError::Refused(why)) if is_no_cluster(&why) => {
                self.refused =
                    Some(format!("{server} is not a node of a Cluster: `backend.url = \"valkey://…\"`"));
            }
            Err(error) => {
                debug!(server = %server, error = %error, "a node of the Cluster was not heard");
                self.unheard = Some(format!("{server}: {error}"));
            }
        }
    }

    async fn map_of(&self, server: &Server) -> Result<Map, BackendError> {
        let node = self.nodes.iter().find(|node| node.server == *server);
        if let Some(generation) = node.and_then(|node| node.link.generation()) {
            return generation.within(Map::ask(generation.data(), server)).await;
        }
        let (connection, _task) = self.cluster.opener.at(server).open().await?;
        Map::ask(&connection, server).await
    }

    /// Moves the shards that are not served to where the map says; those that are stay where they are.
    async fn settle(&mut self, map: &Map) {
        for (shard, home) in self.cluster.shards() {
            let at = usize::from(shard.0);
            let moved = home.elsewhere.swap(false, Ordering::Relaxed);
            if !moved && home.serving.load().is_some() {
                continue;
            }
            let there = map.of(self.cluster.slots[at]);
            let before = self.seats[at].as_ref().map(|node| &node.server);
            if before == there {
                continue;
            }
            if let (Some(before), Some(there)) = (before, there) {
                info!(shard = shard.0, before = %before, server = %there, "a shard has moved");
            }
            self.cluster.serve(home, None);
            self.seats[at] = match there {
                Some(server) => Some(self.node(server).await),
                None => None,
            };
        }
        let seats = &self.seats;
        for node in mem::take(&mut self.nodes) {
            if seats.iter().flatten().any(|seat| Arc::ptr_eq(seat, &node)) {
                self.nodes.push(node);
            } else {
                node.left.cancel();
            }
        }
    }

    /// The node at `server`, started if there is none.
    async fn node(&mut self, server: &Server) -> Arc<Node> {
        if let Some(node) = self.nodes.iter().find(|node| node.server == *server) {
            return Arc::clone(node);
        }
        let node = self.cluster.node(server);
        self.nodes.push(Arc::clone(&node));
        // Its receiver ends after this.
        drop(self.started.send(Arc::clone(&node)).await);
        node
    }

    /// Serves what can be served, and says so. Whether that is everything.
    async fn look(&self) -> bool {
        let mut greetings = Vec::new();
        for ((shard, home), seat) in self.cluster.shards().zip(&self.seats) {
            greetings.push(self.greet(shard, home, seat.as_ref()));
        }
        let faults: Vec<Fault> = join_all(greetings).await.into_iter().filter_map(Result::err).collect();
        let mut refused = self.refused.clone();
        for fault in &faults {
            match fault {
                Fault::Refused(why) => refused = refused.or_else(|| Some(why.clone())),
                Fault::Replica(why) => debug!(error = %why, "a shard is not served"),
                Fault::Down(error) => debug!(error = %error, "a shard is not served"),
            }
        }
        self.tell(refused);
        let well = |home: &Home| home.serving.load().is_some() && !home.elsewhere.load(Ordering::Relaxed);
        faults.is_empty() && self.cluster.homes.iter().all(well)
    }

    /// Compares a shard with its server, once for each of its connections' generations.
    async fn greet(&self, shard: Shard, home: &Home, seat: Option<&Arc<Node>>) -> Result<(), Fault> {
        let connected = seat.and_then(|node| Some((node, node.link.generation()?)));
        let Some((node, generation)) = connected else {
            self.cluster.serve(home, None);
            return Ok(());
        };
        if home.serving.load().as_ref().is_some_and(|serving| Arc::ptr_eq(&serving.1, &generation)) {
            return Ok(());
        }
        self.cluster.serve(home, None);
        let greeting = async { Ok(handshake::reconcile(self.context, generation.data(), shard).await) };
        let greeted = generation.within(greeting).await.map_err(Fault::Down).flatten();
        match &greeted {
            Ok(()) => self.cluster.serve(home, Some((Arc::clone(node), generation))),
            Err(_) => home.elsewhere.store(true, Ordering::Relaxed),
        }
        greeted
    }

    fn tell(&self, refused: Option<String>) {
        let states: Vec<LinkState> =
            self.nodes.iter().map(|node| node.link.state().borrow().clone()).collect();
        let refused = refused.or_else(|| {
            states.iter().find_map(|state| match state {
                LinkState::Refused(why) => Some(why.clone()),
                _ => None,
            })
        });
        let served = self.cluster.homes.iter().filter(|home| home.serving.load().is_some()).count();
        let state = match refused {
            Some(why) => LinkState::Refused(why),
            None if served == 0 => LinkState::Down(self.why_down(&states)),
            None if self.is_beginning() => return,
            None => LinkState::Up {
                generation: self.cluster.made.load(Ordering::Relaxed),
                server: self.servers(),
                warnings: self.warnings(&states),
            },
        };
        self.cluster.state.send_if_modified(|current| {
            let modified = *current != state;
            if modified && let LinkState::Refused(why) = &state {
                warn!("the Cluster must not be used: {why}");
            }
            *current = state;
            modified
        });
    }

    /// Nothing can be said yet: a server is being connected to for the first time, or is there and was not looked at.
    fn is_beginning(&self) -> bool {
        let beginning = |(home, seat): (&Home, &Option<Arc<Node>>)| {
            let Some(node) = seat else { return false };
            let waits = home.serving.load().is_none() && !home.elsewhere.load(Ordering::Relaxed);
            !node.link.was_tried() || (waits && node.link.generation().is_some())
        };
        self.cluster.homes.iter().zip(&self.seats).any(beginning)
    }

    fn why_down(&self, states: &[LinkState]) -> String {
        let down = states.iter().find_map(|state| match state {
            LinkState::Down(why) => Some(why.clone()),
            _ => None,
        });
        let why = self.unheard.clone().or(down);
        why.unwrap_or_else(|| "no node of the Cluster has slots of ours".to_owned())
    }

    /// Such as `valkey 9.1.2, 3 primaries`.
    fn servers(&self) -> String {
        let mut versions: Vec<String> =
            self.nodes.iter().filter_map(|node| Some(node.link.generation()?.server.clone())).collect();
        versions.sort();
        versions.dedup();
        let (versions, count) = (versions.join(", "), self.nodes.len());
        if count == 1 { format!("{versions}, 1 primary") } else { format!("{versions}, {count} primaries") }
    }

    /// What the servers should have mended, and which shards are not served.
    fn warnings(&self, states: &[LinkState]) -> Vec<String> {
        let mut warnings: Vec<String> = Vec::new();
        for (node, state) in self.nodes.iter().zip(states) {
            let (server, shards) = (&node.server, self.unserved(Some(node)));
            match state {
                LinkState::Up { warnings: of, .. } => {
                    warnings
                        .extend(of.iter().filter(|it| !warnings.contains(it)).cloned().collect::<Vec<_>>());
                    if !shards.is_empty() {
                        warnings.push(format!("{server} does not have shards {shards} as the map says"));
                    }
                }
                LinkState::Down(why) | LinkState::Refused(why) => {
                    warnings.push(format!("no connection to {server}, which has shards {shards}: {why}"));
                }
            }
        }
        let lost = self.unserved(None);
        if !lost.is_empty() {
            warnings.push(format!("the slots of shards {lost} are nobody's: `CLUSTER SLOTS`"));
        }
        warnings
    }

    /// Shards that are seated there and not served, such as `1, 4`.
    fn unserved(&self, seat: Option<&Arc<Node>>) -> String {
        let shards = self.cluster.shards().zip(&self.seats).filter(|((_, home), of)| {
            of.as_ref().map(Arc::as_ptr) == seat.map(Arc::as_ptr) && home.serving.load().is_none()
        });
        shards.map(|((shard, _), _)| shard.0.to_string()).collect::<Vec<_>>().join(", ")
    }
}
