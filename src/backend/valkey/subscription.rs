//! Messages: a connection of its own that the server has confirmed to be subscribed, and that proves to be alive.
//!
//! Whoever waits for the next signal reads the connection itself: what one read brings is told one by one, and nothing
//! stands between. Nothing that came is dropped here. Who falls behind lets it wait in the server, which ends the connection
//! once that is too much; then the log is read.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::connection::Opener;
use super::context::Context;
use super::handshake::check_info;
use super::message::Heard;
use super::resp::{Malformed, Token};
use super::socket::{Came, Socket};
use super::tracking;
use crate::backend::{BackendError, Signal, Subscription};
use crate::model::Shard;

/// Signals that may come before the server has confirmed what is subscribed to; with more the attempt has failed.
const SIGNALS_MAX: usize = 16_384;
/// How often the connection must answer.
const PING_EVERY: Duration = Duration::from_secs(1);
/// What it must answer to: with what it is subscribed to.
const PING: [&str; 2] = ["CLIENT", "INFO"];

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
    let mut socket = Socket::open(opener).await?;
    check_info(context, &socket.ask(&["INFO"], |_| {}).await?.concat())?;

    let (mut plain, mut sharded) = (Vec::new(), Vec::new());
    let of_shards = if scope.sharded { &mut sharded } else { &mut plain };
    for shard in &scope.shards {
        of_shards.extend(<[String; 2]>::from(context.keys.channels(*shard)));
    }
    if scope.shards.contains(&Shard(0)) {
        plain.push(context.keys.inbox());
    }
    for (command, channels) in [("SUBSCRIBE", &plain), ("SSUBSCRIBE", &sharded)] {
        for channel in channels {
            socket.send(&[command, channel]);
        }
    }
    let mut live = Live {
        socket,
        heard: Heard::of(&context.keys, &scope.shards),
        count: Count { plain: plain.len(), sharded: sharded.len() },
        over: false,
        quiet_since: None,
        ended,
        timer: Box::pin(sleep(PING_EVERY)),
    };
    // answers come in order: a refusal to subscribe before what is said of this client
    let info = live.ask(&PING).await?.concat();
    live.count.confirmed(&info)?;
    if context.tracking {
        tracking::begin(context, &mut live).await?;
    }
    Ok(live)
}

/// How many channels a connection is subscribed to.
#[derive(Clone, Copy)]
struct Count {
    plain: usize,
    sharded: usize,
}

impl Count {
    /// What the server says of this client shows whether it has subscribed. Later it shows whether it still is: with a slot
    /// that leaves a server of a Cluster, the subscriptions to its channels end.
    fn confirmed(self, info: &str) -> Result<(), BackendError> {
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

/// A live subscription.
pub(super) struct Live {
    socket: Socket,
    pub(super) heard: Heard,
    count: Count,
    /// The connection is gone, or is not to be relied on.
    over: bool,
    /// While an answer is waited for: since when nothing has come.
    quiet_since: Option<Instant>,
    ended: CancellationToken,
    /// Until it is to be asked, or must have answered.
    timer: Pin<Box<Sleep>>,
}

impl Live {
    /// The answer to a command; messages that come before it are kept.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<Vec<String>, BackendError> {
        let heard = &mut self.heard;
        let answer = self.socket.ask(words, |came| heard.hear(came)).await?;
        if self.heard.is_over() || SIGNALS_MAX < self.heard.len() {
            return Err(BackendError::Unavailable("the subscription ended at once".to_owned()));
        }
        Ok(answer)
    }

    /// Takes in the next frame that has come; whether there was one.
    fn hear(&mut self) -> bool {
        match self.socket.next() {
            Ok(None) => return false,
            Ok(Some(Came::Frame(frame))) if !frame.is_push() => {
                let texts: Vec<_> = frame.filter_map(Token::text).map(String::from_utf8_lossy).collect();
                self.over = self.count.confirmed(&texts.concat()).is_err();
                self.quiet_since = None;
                self.timer.as_mut().reset(Instant::now() + PING_EVERY);
            }
            Ok(Some(message)) => {
                self.heard.hear(message);
                self.over = self.heard.is_over();
            }
            Err(Malformed) => self.over = true,
        }
        true
    }

    /// Asks for a sign of life, or finds that there was none for too long.
    fn is_silent(&mut self) -> bool {
        let now = Instant::now();
        let since = *self.quiet_since.get_or_insert_with(|| {
            self.socket.send(&PING);
            now
        });
        let until = since + self.socket.command_timeout();
        self.timer.as_mut().reset(until);
        until <= now
    }
}

#[async_trait]
impl Subscription for Live {
    fn ready(&mut self) -> Option<Signal> {
        loop {
            if let Some(signal) = self.heard.pop() {
                return Some(signal);
            }
            if self.over || !self.hear() {
                return None;
            }
        }
    }

    async fn next(&mut self) -> Option<Signal> {
        loop {
            if let Some(signal) = self.ready() {
                return Some(signal);
            }
            if self.over {
                return None;
            }
            // what has arrived is told before the end is
            tokio::select! {
                biased;
                came = self.socket.turn() => {
                    self.over = came.is_err();
                    if let Some(since) = &mut self.quiet_since {
                        *since = Instant::now();
                    }
                }
                () = self.ended.cancelled() => self.over = true,
                () = self.timer.as_mut() => self.over = self.is_silent(),
            }
        }
    }
}
