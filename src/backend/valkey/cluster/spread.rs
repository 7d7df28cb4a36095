//! A subscription that is spread over the servers of a Cluster: to each server, one for the shards that are served there.
//! One that ends is made anew while the others go on; whoever listens is told that messages may be lost.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::{join_all, select_all};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{Cluster, Node};
use crate::backend::valkey::context::Context;
use crate::backend::valkey::link::Generation;
use crate::backend::valkey::subscription::{self, Live, Scope};
use crate::backend::{BackendError, Signal, Subscription};
use crate::model::Shard;

/// Between two attempts to subscribe at a server.
const AGAIN: Duration = Duration::from_millis(100);

/// Where it is to be listened, and for what.
#[derive(Clone)]
struct Place {
    node: Arc<Node>,
    generation: Arc<Generation>,
    shards: Vec<Shard>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.generation, &other.generation) && self.shards == other.shards
    }
}

type Making = Pin<Box<dyn Future<Output = (Place, Result<Live, BackendError>)> + Send>>;

/// A live subscription to all shards that are served.
pub(in crate::backend::valkey) struct Spread {
    context: Arc<Context>,
    cluster: Arc<Cluster>,
    changes: watch::Receiver<()>,
    live: Vec<(Place, Live)>,
    making: FuturesUnordered<Making>,
    /// Those in the making.
    made: Vec<Place>,
    again: Option<Instant>,
}

impl Spread {
    /// Subscribes wherever a shard is served; an error if that is nowhere.
    pub(in crate::backend::valkey) async fn subscribe(
        context: &Arc<Context>,
        cluster: &Arc<Cluster>,
    ) -> Result<Self, BackendError> {
        let mut changes = cluster.changes.subscribe();
        changes.borrow_and_update();
        let making = cluster.places().into_iter().map(|place| make(Arc::clone(context), place));
        let (mut live, mut why) = (Vec::new(), None);
        for (place, made) in join_all(making).await {
            match made {
                Ok(made) => live.push((place, made)),
                Err(error) => why = Some(error),
            }
        }
        if live.is_empty() {
            let nowhere = || BackendError::Unavailable("no shard is served".to_owned());
            return Err(why.unwrap_or_else(nowhere));
        }
        Ok(Self {
            context: Arc::clone(context),
            cluster: Arc::clone(cluster),
            changes,
            live,
            making: FuturesUnordered::new(),
            made: Vec::new(),
            again: None,
        })
    }

    /// Begins to listen where it is not listened yet.
    fn begin(&mut self) {
        if self.again.is_some() {
            return;
        }
        for place in self.cluster.places() {
            if !self.made.contains(&place) && !self.live.iter().any(|(of, _)| *of == place) {
                self.made.push(place.clone());
                self.making.push(Box::pin(make(Arc::clone(&self.context), place)));
            }
        }
    }
}

async fn make(context: Arc<Context>, place: Place) -> (Place, Result<Live, BackendError>) {
    let Place { node, generation, shards } = &place;
    let scope = Scope { shards: shards.clone(), sharded: true };
    let subscribing = subscription::subscribe(&context, node.opener(), generation.ended(), scope);
    let made = generation.within(subscribing).await;
    (place, made)
}

impl Cluster {
    /// Where shards are served.
    fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for (shard, home) in self.shards() {
            let Some((node, generation)) = home.serving.load().as_deref().cloned() else { continue };
            match places.iter_mut().find(|place| Arc::ptr_eq(&place.generation, &generation)) {
                Some(place) => place.shards.push(shard),
                None => places.push(Place { node, generation, shards: vec![shard] }),
            }
        }
        places
    }
}

#[async_trait]
impl Subscription for Spread {
    fn ready(&mut self) -> Option<Signal> {
        self.live.iter_mut().find_map(|(_, live)| live.ready())
    }

    async fn next(&mut self) -> Option<Signal> {
        loop {
            self.begin();
            let listening = !self.live.is_empty();
            let again = self.again.unwrap_or_else(Instant::now);
            tokio::select! {
                (signal, at) = first(&mut self.live), if listening => {
                    if signal.is_none() {
                        self.live.swap_remove(at);
                    }
                    return Some(signal.unwrap_or(Signal::Lost));
                }
                Some((place, made)) = self.making.next(), if !self.making.is_empty() => {
                    self.made.retain(|of| *of != place);
                    match made {
                        Ok(live) => {
                            // What is heard at both is a repetition.
                            self.live.retain(|(of, _)| !Arc::ptr_eq(&of.generation, &place.generation));
                            self.live.push((place, live));
                            return Some(Signal::Lost);
                        }
                        Err(error) => {
                            debug!(server = %place.node.server, error = %error, "subscribing failed");
                            self.again = Some(Instant::now() + AGAIN);
                        }
                    }
                }
                Ok(()) = self.changes.changed() => {}
                () = sleep_until(again), if self.again.is_some() => self.again = None,
            }
        }
    }

    fn in_order_with_inbox(&self, shard: Shard) -> bool {
        self.live.iter().any(|(of, _)| of.shards.contains(&Shard(0)) && of.shards.contains(&shard))
    }
}

/// The next signal of any of them, and whose it is. Cancel-safe, as each of them is.
async fn first(live: &mut [(Place, Live)]) -> (Option<Signal>, usize) {
    let (signal, at, _) = select_all(live.iter_mut().map(|(_, live)| live.next())).await;
    (signal, at)
}
