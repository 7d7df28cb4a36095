//! One connection: a pipe of our own, or a fred client, that never reconnects and never sends anything twice.
//!
//! What fred would do behind our back is switched off: a reconnect would skip the handshake, a resend would make an
//! event two. Once the connection is gone the client is, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fred::bytes_utils::Str;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::config::{
    Config, ConnectionConfig, Options, PerformanceConfig, Server, ServerConfig, TcpConfig,
};
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::arguments::Arguments;
use super::errors::explain;
use super::pipe::{Commands, Pipe};
use super::socket::Socket;
use crate::backend::BackendError;

/// Commands that may wait for one connection; beyond them an operation fails at once.
const COMMANDS_MAX: usize = 65_536;
/// Messages that may wait for a reader: nothing is subscribed to over these connections, and fred makes the room in
/// advance.
const NO_MESSAGES: usize = 16;

/// How a connection is made.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    config: Config,
    connect_timeout: Duration,
    command_timeout: Duration,
}

/// A client's task: the connection ends with it, and the task ends with this.
pub(super) type Task = AbortOnDropHandle<Result<(), Error>>;

impl Opener {
    pub(super) fn new(config: Config, connect_timeout: Duration, command_timeout: Duration) -> Self {
        Self { config, connect_timeout, command_timeout }
    }

    /// Whether it leads to a Valkey Cluster.
    pub(super) fn is_clustered(&self) -> bool {
        self.config.server.is_clustered()
    }

    /// The servers that the address names.
    pub(super) fn servers(&self) -> Vec<Server> {
        self.config.server.hosts()
    }

    /// The same way to one of them, or to another that they know.
    pub(super) fn at(&self, server: &Server) -> Self {
        let server = ServerConfig::Centralized { server: server.clone() };
        Self { config: Config { server, ..self.config.clone() }, ..self.clone() }
    }

    /// The same way to a sentinel, which has no databases; perhaps without saying who asks.
    pub(super) fn to_sentinel(&self, sentinel: &Server, credentials: bool) -> Self {
        let mut way = self.at(sentinel);
        way.config.database = None;
        if !credentials {
            (way.config.username, way.config.password) = (None, None);
        }
        way
    }

    /// Whom to ask for the server, and by which name, where sentinels know it.
    pub(super) fn sentinels(&self) -> Option<(Vec<Server>, String)> {
        match &self.config.server {
            ServerConfig::Sentinel { hosts, service_name, .. } => Some((hosts.clone(), service_name.clone())),
            _ => None,
        }
    }

    /// Who asks, and how.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// How long connecting may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long an answer may take.
    pub(super) fn command_timeout(&self) -> Duration {
        self.command_timeout
    }

    /// A peer that does not acknowledge what was sent for so long is gone, whoever still waits for it.
    pub(super) fn user_timeout(&self) -> Duration {
        self.command_timeout.saturating_mul(2)
    }

    /// Connects and authenticates, nothing more: for commands that are answered at once.
    pub(super) async fn open_pipe(&self) -> Result<(Connection, Task), BackendError> {
        let (pipe, task) = Pipe::over(Socket::open(self).await?);
        let way = Way::Pipe { pipe, command_timeout: self.command_timeout };
        Ok((Connection { way, answers: Arc::default() }, task))
    }

    /// The same for commands that may wait in the server, too.
    pub(super) async fn open(&self) -> Result<(Connection, Task), BackendError> {
        let performance = PerformanceConfig {
            default_command_timeout: self.command_timeout,
            broadcast_channel_capacity: NO_MESSAGES,
            ..PerformanceConfig::default()
        };
        let connection = ConnectionConfig {
            connection_timeout: self.connect_timeout,
            internal_command_timeout: self.command_timeout,
            max_command_attempts: 1,
            max_command_buffer_len: COMMANDS_MAX,
            tcp: TcpConfig {
                nodelay: Some(true),
                user_timeout: Some(self.user_timeout()),
                ..TcpConfig::default()
            },
            ..ConnectionConfig::default()
        };
        let client = Client::new(self.config.clone(), Some(performance), Some(connection), None);
        let mut task = AbortOnDropHandle::new(client.connect());
        let limit = self.connect_timeout.saturating_add(self.command_timeout);
        match timeout(limit, connected(&client, &mut task)).await {
            Ok(Ok(())) => Ok((Connection { way: Way::Client(client), answers: Arc::default() }, task)),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err(BackendError::TimedOut),
        }
    }
}

/// Waits for the first connect. The news of it can be missed by who asks too late, so it asks again.
async fn connected(client: &Client, task: &mut Task) -> Result<(), Error> {
    const AGAIN: Duration = Duration::from_millis(5);
    loop {
        if client.is_connected() {
            return Ok(());
        }
        tokio::select! {
            news = client.wait_for_connect() => return news,
            () = sleep(AGAIN) => {}
        }
        if task.is_finished() {
            let end = task.await.unwrap_or(Ok(()));
            return end.and(Err(Error::new(ErrorKind::IO, "the connection was closed at once")));
        }
    }
}

/// A live connection.
#[derive(Clone)]
pub(super) struct Connection {
    way: Way,
    /// How often the server has answered a single command.
    answers: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Way {
    Client(Client),
    Pipe { pipe: Pipe, command_timeout: Duration },
}

/// A command and where Valkey Cluster keeps what it is about.
pub(super) struct Command<'a> {
    name: &'static str,
    slot: u16,
    args: Vec<Value>,
    /// After those.
    more: &'a [Arguments],
    blocks: bool,
}

impl<'a> Command<'a> {
    pub(super) fn new(name: &'static str, slot: u16) -> Self {
        Self { name, slot, args: Vec::new(), more: &[], blocks: false }
    }

    /// After all others, arguments that lie side by side.
    pub(super) fn more(self, more: &'a [Arguments]) -> Self {
        Self { more, ..self }
    }

    /// The server may keep the answer back, and everything behind it on this connection.
    pub(super) fn blocking(mut self) -> Self {
        self.blocks = true;
        self
    }

    /// One more argument.
    pub(super) fn arg(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into().0);
        self
    }

    /// More arguments, always the same.
    pub(super) fn fixed(mut self, args: &[&'static str]) -> Self {
        self.args.extend(args.iter().map(|arg| Value::String(Str::from_static(arg))));
        self
    }

    /// More arguments.
    pub(super) fn args(mut self, args: impl IntoIterator<Item = impl Into<Arg>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.into().0));
        self
    }

    fn write(&self, commands: &mut Commands) {
        let more: usize = self.more.iter().map(Arguments::len).sum();
        commands.begin(1 + self.args.len() + more);
        commands.word(self.name.as_bytes());
        for arg in &self.args {
            commands.word(arg.as_bytes().unwrap_or_default());
        }
        for arg in self.more.iter().flat_map(Arguments::iter) {
            commands.word(arg);
        }
    }

    /// As a client takes it.
    fn into_args(mut self) -> Vec<Value> {
        let more = self.more.iter().flat_map(Arguments::iter);
        self.args.extend(more.map(|arg| Value::Bytes(Bytes::copy_from_slice(arg))));
        self.args
    }

    fn custom(&self) -> CustomCommand {
        CustomCommand::new_static(self.name, ClusterHash::Custom(self.slot), self.blocks)
    }
}

/// An argument on its way to the server.
#[derive(Clone)]
pub(super) struct Arg(Value);

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self(Value::String(text.into()))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self(Value::String(text.into()))
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        Self(Value::String(number.to_string().into()))
    }
}

impl From<bool> for Arg {
    fn from(flag: bool) -> Self {
        Self::from(if flag { "1" } else { "0" })
    }
}

impl From<Bytes> for Arg {
    fn from(bytes: Bytes) -> Self {
        Self(Value::Bytes(bytes))
    }
}

impl From<Duration> for Arg {
    fn from(time: Duration) -> Self {
        Self::from(millis(time))
    }
}

/// In milliseconds, at most ten years: what the server adds to its clock must not overflow.
pub(super) fn millis(time: Duration) -> u64 {
    const TEN_YEARS_MS: u64 = 315_360_000_000;
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(TEN_YEARS_MS)
}

impl Connection {
    /// One command within the usual time-out.
    pub(super) async fn call(&self, command: Command<'_>) -> Result<Value, Error> {
        let answer = match &self.way {
            // fred's futures are large, and every caller's would be
            Way::Client(client) => Box::pin(client.custom(command.custom(), command.into_args())).await,
            Way::Pipe { pipe, command_timeout } => one(pipe, &command, *command_timeout).await,
        };
        self.heard(answer)
    }

    /// One command within a time-out of its own.
    pub(super) async fn call_within(&self, command: Command<'_>, limit: Duration) -> Result<Value, Error> {
        let answer = match &self.way {
            Way::Client(client) => {
                let options = Options { timeout: Some(limit), ..Options::default() };
                let client = client.with_options(&options);
                Box::pin(client.custom(command.custom(), command.into_args())).await
            }
            Way::Pipe { pipe, .. } => one(pipe, &command, limit).await,
        };
        self.heard(answer)
    }

    fn heard(&self, answer: Result<Value, Error>) -> Result<Value, Error> {
        if answer.is_ok() {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// How often the server has answered a single command over it.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Commands in one round trip; the answers in their order.
    pub(super) async fn call_all(
        &self,
        commands: Vec<Command<'_>>,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        match &self.way {
            Way::Client(client) => {
                let calls = commands.into_iter().map(|it| client.custom(it.custom(), it.into_args()));
                Ok(join_all(calls).await)
            }
            Way::Pipe { pipe, command_timeout } => {
                let mut all = Commands::default();
                for command in &commands {
                    command.write(&mut all);
                }
                pipe.ask(all, *command_timeout).await
            }
        }
    }
}

async fn one(pipe: &Pipe, command: &Command<'_>, limit: Duration) -> Result<Value, Error> {
    let mut alone = Commands::default();
    command.write(&mut alone);
    let missing = || Error::new(ErrorKind::Protocol, "no answer");
    pipe.ask(alone, limit).await?.pop().ok_or_else(missing)?
}
