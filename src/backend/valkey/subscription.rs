//! Messages: a connection of its own that the server has confirmed to be subscribed, and that proves to be alive.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use fred::error::Error;
use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use fred::types::{Message, Value};
use fred::util::redis_keyslot;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::codec::{Hurry, announced, hurry};
use super::connection::{Command, Connection, Opener, Task};
use super::context::Context;
use super::errors::explain;
use super::handshake::check_servers;
use super::reply::text;
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

/// Subscribes to every shard's channels and the inbox's. It ends with the generation it began in: a connection to a
/// server that was left would be alive and silent.
pub(super) async fn subscribe(
    context: &Context,
    opener: &Opener,
    ended: CancellationToken,
) -> Result<Live, BackendError> {
    let (connection, task) = opener.open_with(MESSAGES_MAX).await?;
    check_servers(context, &connection).await?;

    let mut channels = HashMap::from([(context.keys.inbox(), Channel::Inbox)]);
    for shard in context.keys.count().all() {
        let (events, signals) = context.keys.channels(shard);
        channels.insert(events, Channel::Events(shard));
        channels.insert(signals, Channel::Signals(shard));
    }
    // before SUBSCRIBE, or the first messages find no reader
    let messages = connection.client().message_rx();
    let names: Vec<String> = channels.keys().cloned().collect();
    Box::pin(connection.client().subscribe(names)).await.map_err(|error| explain(&error))?;
    // fred sends every SUBSCRIBE of a client to the node of its id
    let slot = redis_keyslot(connection.client().id().as_bytes());
    confirmed(&connection, slot, channels.len()).await?;

    let mut ticks = interval(PING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let signals = VecDeque::new();
    Ok(Live { connection, task: Some(task), slot, messages, signals, channels, ended, ticks, ping: None })
}

/// fred's `subscribe` returns when the command is written. The server answers in order: what it says of this client
/// next shows whether it has subscribed, or refused to.
async fn confirmed(connection: &Connection, slot: u16, channels: usize) -> Result<(), BackendError> {
    let answer = connection.call(Command::new("CLIENT", slot).arg("INFO")).await;
    let info = text(answer.map_err(|error| explain(&error))?).unwrap_or_default();
    let subscribed = info.split_whitespace().find_map(|field| field.strip_prefix("sub="));
    if subscribed != Some(channels.to_string().as_str()) {
        return Err(BackendError::Refused(format!(
            "the server subscribed to {} of {channels} channels",
            subscribed.unwrap_or("none")
        )));
    }
    Ok(())
}

type Ping = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

/// A live subscription.
pub(super) struct Live {
    connection: Connection,
    /// `None` once the connection is gone.
    task: Option<Task>,
    slot: u16,
    messages: Receiver<Message>,
    /// The rest of a message that held several.
    signals: VecDeque<Signal>,
    channels: HashMap<String, Channel>,
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

/// Resolves when the connection does not answer.
async fn silence(connection: &Connection, slot: u16, ticks: &mut Interval, ping: &mut Option<Ping>) {
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
        *ping = Some(Box::pin(async move { connection.call(Command::new("PING", slot)).await }));
    }
}

#[async_trait]
impl Subscription for Live {
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
                () = self.ended.cancelled() => {}
                _ = task => {}
                () = silence(&self.connection, self.slot, &mut self.ticks, &mut self.ping) => {}
            }
            self.task = None;
        }
    }
}
