//! Messages: a connection of its own that the server has confirmed to be subscribed, and that proves to be alive.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use fred::interfaces::{EventInterface as _, PubsubInterface as _};
use fred::types::Message;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::codec::{Hurry, announced, hurry};
use super::connection::{Command, Connection, Opener, Task};
use super::context::Context;
use super::errors::explain;
use super::handshake::check_server;
use super::reply::text;
use super::tracking::Tracking;
use crate::backend::{BackendError, Signal, Subscription};
use crate::model::{Key, Namespace, Shard};

/// Messages that may wait to be read; beyond them the oldest are lost, and the reader is told. fred makes room for so
/// many, in several channels, when it starts: some ten megabytes.
const MESSAGES_MAX: usize = 16_384;
/// How often the connection must answer.
const PING_EVERY: Duration = Duration::from_secs(1);

/// What comes over a channel.
#[derive(Clone, Copy)]
enum Channel {
    Events(Shard),
    Signals(Shard),
    Inbox,
}

/// What is subscribed to at a server.
pub(super) struct Scope {
    /// The inbox's channel goes with the first shard.
    pub(super) shards: Vec<Shard>,
    /// The shards' channels are sharded ones, as on Valkey Cluster: each is known to its shard's server alone.
    pub(super) sharded: bool,
}

/// Subscribes to shards' channels and the inbox's. It ends with the generation it began in: a connection to a
/// server that was left would be alive and silent.
pub(super) async fn subscribe(
    context: &Context,
    opener: &Opener,
    ended: CancellationToken,
    scope: Scope,
) -> Result<Live, BackendError> {
    let (connection, task) = opener.open_with(MESSAGES_MAX).await?;
    check_server(context, &connection).await?;

    let mut channels = HashMap::new();
    let (mut plain, mut sharded) = (Vec::new(), Vec::new());
    let of_shards = if scope.sharded { &mut sharded } else { &mut plain };
    for shard in &scope.shards {
        let (events, signals) = context.keys.channels(*shard);
        of_shards.extend([events.clone(), signals.clone()]);
        channels.insert(events, Channel::Events(*shard));
        channels.insert(signals, Channel::Signals(*shard));
    }
    if scope.shards.contains(&Shard(0)) {
        plain.push(context.keys.inbox());
        channels.insert(context.keys.inbox(), Channel::Inbox);
    }
    // before SUBSCRIBE, or the first messages find no reader
    let messages = connection.client().message_rx();
    let count = Count { plain: plain.len(), sharded: sharded.len() };
    if !plain.is_empty() {
        Box::pin(connection.client().subscribe(plain)).await.map_err(|error| explain(&error))?;
    }
    // fred takes the first confirmation for the answer to the command, and a second for that to the next command
    for channel in sharded {
        Box::pin(connection.client().ssubscribe(channel)).await.map_err(|error| explain(&error))?;
    }
    count.confirmed(&connection).await?;
    let tracking = if context.tracking { Some(Tracking::begin(context, &connection).await?) } else { None };

    let mut ticks = interval(PING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(Live {
        connection,
        task: Some(task),
        count,
        messages,
        signals: VecDeque::new(),
        channels,
        tracking,
        ended,
        ticks,
        ping: None,
    })
}

/// How many channels a connection is subscribed to.
#[derive(Clone, Copy)]
struct Count {
    plain: usize,
    sharded: usize,
}

impl Count {
    /// fred's `subscribe` returns when the command is written. The server answers in order: what it says of this client
    /// next shows whether it has subscribed, or refused to. Later it shows whether it still is: with a slot that leaves a
    /// server of a Cluster, the subscriptions to its channels end without a word that fred would pass on.
    async fn confirmed(self, connection: &Connection) -> Result<(), BackendError> {
        let answer = connection.call(Command::new("CLIENT", 0).arg("INFO")).await;
        let info = text(answer.map_err(|error| explain(&error))?).unwrap_or_default();
        let field =
            |name: &str| info.split_whitespace().find_map(|field| field.strip_prefix(name)?.parse().ok());
        let Self { plain, sharded } = self;
        // servers before 7.0.3 do not say how many sharded ones there are
        let (has, has_sharded) = (field("sub=").unwrap_or(0), field("ssub=").unwrap_or(sharded));
        if (has, has_sharded) != (plain, sharded) {
            let (has, channels) = (has + has_sharded, plain + sharded);
            return Err(BackendError::Refused(format!(
                "the server subscribed to {has} of {channels} channels"
            )));
        }
        Ok(())
    }
}

type Ping = Pin<Box<dyn Future<Output = Result<(), BackendError>> + Send>>;

/// A live subscription.
pub(super) struct Live {
    connection: Connection,
    /// `None` once the connection is gone.
    task: Option<Task>,
    count: Count,
    messages: Receiver<Message>,
    /// The rest of a message that held several.
    signals: VecDeque<Signal>,
    channels: HashMap<String, Channel>,
    tracking: Option<Tracking>,
    ended: CancellationToken,
    ticks: Interval,
    /// The question under way: kept here, so that dropping a `next` does not lose it.
    ping: Option<Ping>,
}

impl Live {
    /// How many messages have arrived and wait to be read, those that were dropped since included.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.messages.len()
    }

    /// What a message says; one that cannot be read is lost.
    fn read(&mut self, message: &Message) {
        let Some(channel) = self.channels.get(&*message.channel).copied() else { return };
        let Some(payload) = message.value.as_bytes() else { return self.signals.push_back(Signal::Lost) };
        match channel {
            Channel::Events(shard) => self.signals.extend(announced(payload).map(|event| {
                event.map_or(Signal::Lost, |(lineage, logged)| Signal::Event { shard, lineage, logged })
            })),
            Channel::Signals(shard) => {
                let signal = hurry(payload).and_then(|hurry| hurried(shard, hurry));
                self.signals.push_back(signal.unwrap_or(Signal::Lost));
            }
            Channel::Inbox => {
                let arrived = message.value.clone().into_bytes().map(Signal::Inbox);
                self.signals.push_back(arrived.unwrap_or(Signal::Lost));
            }
        }
    }
}

fn hurried(shard: Shard, hurry: Hurry) -> Option<Signal> {
    match hurry {
        Hurry::Wake { ns, key, filled } => {
            Some(Signal::Wake { namespace: Namespace::new(&ns).ok()?, key: Key::new(&key).ok()?, filled })
        }
        Hurry::Unlocked { name } => Some(Signal::Unlocked(Key::new(&name).ok()?)),
        Hurry::Work { partition } => Some(Signal::Work(shard, partition)),
        Hurry::Confirmed { instance, cursor } => {
            Some(Signal::Confirmed { shard, instance, cursor: cursor.parse().ok()? })
        }
    }
}

/// What the server tells of entries; for ever where it is not asked to.
async fn touched(tracking: &mut Option<Tracking>) -> Option<Signal> {
    match tracking {
        Some(tracking) => tracking.next().await,
        None => pending().await,
    }
}

/// Resolves when the connection does not answer, or is not subscribed any more.
async fn silence(connection: &Connection, count: Count, ticks: &mut Interval, ping: &mut Option<Ping>) {
    loop {
        if let Some(asked) = ping {
            let answer = asked.await;
            *ping = None;
            if answer.is_err() {
                return;
            }
        }
        ticks.tick().await;
        let connection = connection.clone();
        *ping = Some(Box::pin(async move { count.confirmed(&connection).await }));
    }
}

#[async_trait]
impl Subscription for Live {
    fn ready(&mut self) -> Option<Signal> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Some(signal);
            }
            match self.messages.try_recv() {
                Ok(message) => self.read(&message),
                Err(TryRecvError::Lagged(_)) => return Some(Signal::Lost),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    async fn next(&mut self) -> Option<Signal> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Some(signal);
            }
            let task = self.task.as_mut()?;
            // what has arrived is told before the end is
            tokio::select! {
                biased;
                message = self.messages.recv() => match message {
                    Ok(message) => {
                        self.read(&message);
                        continue;
                    }
                    Err(RecvError::Lagged(_)) => return Some(Signal::Lost),
                    Err(RecvError::Closed) => {}
                },
                touched = touched(&mut self.tracking) => if touched.is_some() {
                    return touched;
                },
                () = self.ended.cancelled() => {}
                _ = task => {}
                () = silence(&self.connection, self.count, &mut self.ticks, &mut self.ping) => {}
            }
            self.task = None;
        }
    }
}
