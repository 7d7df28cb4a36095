//! [`Streams`] on a server of one's own choosing, over one connection that is made when it is needed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::error::Error;
use fred::types::Value;
use tokio::sync::Mutex;

use super::address::{self, Credentials};
use super::connection::{Command, Connection, Opener, Task};
use super::errors::{explain, is_no_group};
use super::inbox;
use super::reply::Parts;
use crate::backend::{BackendError, StreamEntry, Streams};

/// Where streams are, and who reads them.
pub struct StreamSettings {
    /// `valkey://…`: one server.
    pub url: String,
    /// Instead of the URL's user.
    pub username: Option<String>,
    /// Instead of the URL's password.
    pub password: Option<String>,
    /// Root certificates instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub command_timeout: Duration,
    /// Their names, at least one.
    pub streams: Vec<Arc<str>>,
    /// The consumer group.
    pub group: String,
    /// Delete what is finished.
    pub delete: bool,
}

/// A consumer group's streams.
pub struct ValkeyStreams {
    opener: Opener,
    command_timeout: Duration,
    streams: Vec<Arc<str>>,
    group: String,
    delete: bool,
    /// `None` until it is needed, and after a failure: what was asked then may still be answered.
    connection: Mutex<Option<(Connection, Task)>>,
}

impl ValkeyStreams {
    /// Checks the settings; connects to nothing yet.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "they may hold a password, and nobody needs them afterwards"
    )]
    pub fn new(settings: StreamSettings) -> Result<Self, BackendError> {
        let credentials = Credentials {
            username: settings.username.as_deref(),
            password: settings.password.as_deref(),
            ca_file: settings.ca_file.as_deref(),
        };
        let config = address::config(&settings.url, credentials)?;
        let opener = Opener::new(config, settings.connect_timeout, settings.command_timeout);
        if opener.is_clustered() {
            let why = "streams of several slots cannot be read together: name one server";
            return Err(BackendError::Refused(why.to_owned()));
        }
        Ok(Self {
            opener,
            command_timeout: settings.command_timeout,
            streams: settings.streams.clone(),
            group: settings.group.clone(),
            delete: settings.delete,
            connection: Mutex::new(None),
        })
    }

    /// What `ask` says over the connection, which does not outlive a failure.
    async fn over<T>(
        &self,
        ask: impl AsyncFnOnce(&Connection) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let mut held = self.connection.lock().await;
        let (connection, task) = match held.take() {
            Some(open) if !open.1.is_finished() => open,
            _ => self.opener.open().await?,
        };
        let answer = ask(&connection).await?;
        *held = Some((connection, task));
        Ok(answer)
    }

    async fn ask(&self, connection: &Connection, command: Command<'_>) -> Result<Value, BackendError> {
        connection.call(command).await.map_err(|error| explain(&error))
    }

    /// From each stream's first entry: what came before the group did is to be read, too.
    async fn make_groups(&self, connection: &Connection) -> Result<(), BackendError> {
        for stream in &self.streams {
            let command = Command::new("XGROUP", 0).arg("CREATE").arg(&**stream).arg(&*self.group);
            match connection.call(command.args(["0", "MKSTREAM"])).await {
                Err(error) if !made_already(&error) => return Err(explain(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    async fn read_on(
        &self,
        connection: &Connection,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, BackendError> {
        let wait = wait.min(inbox::BLOCK_MAX).max(Duration::from_millis(1));
        let command = || {
            let command =
                Command::new("XREADGROUP", 0).blocking().arg("GROUP").arg(&*self.group).arg(consumer);
            let command = command.arg("COUNT").arg(max as u64).arg("BLOCK").arg(wait).arg("STREAMS");
            command.args(self.streams.iter().map(|stream| &**stream)).args(self.streams.iter().map(|_| ">"))
        };
        let limit = wait.saturating_add(self.command_timeout);
        let answer = match connection.call_within(command(), limit).await {
            Err(error) if is_no_group(&error) => {
                self.make_groups(connection).await?;
                connection.call_within(command(), limit).await
            }
            answer => answer,
        };
        let mut streams = Parts::of("streams", answer.map_err(|error| explain(&error))?)?;
        let mut found = Vec::new();
        while !streams.is_empty() {
            // RESP3 has a map, whose pairs stand flat here.
            let name = streams.text()?;
            found.extend(self.entries(&name, streams.value()?)?);
        }
        Ok(found)
    }

    async fn adopt_on(
        &self,
        connection: &Connection,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<StreamEntry>, BackendError> {
        let mut found = Vec::new();
        for stream in &self.streams {
            let command = Command::new("XAUTOCLAIM", 0).arg(&**stream).arg(&*self.group).arg(consumer);
            let command = command.arg(idle).arg("0-0").arg("COUNT").arg(max as u64);
            match connection.call(command).await {
                // It is made when it is read.
                Err(error) if is_no_group(&error) => {}
                Err(error) => return Err(explain(&error)),
                Ok(answer) => {
                    let mut parts = Parts::of("streams", answer)?;
                    let _next = parts.value()?;
                    found.extend(self.entries(stream, parts.value()?)?);
                }
            }
        }
        Ok(found)
    }

    fn entries(&self, stream: &str, list: Value) -> Result<Vec<StreamEntry>, BackendError> {
        let known = self.streams.iter().find(|known| &***known == stream);
        let stream =
            known.ok_or_else(|| BackendError::Protocol("streams: one that was not asked for".to_owned()))?;
        let entries = inbox::entries(list)?.into_iter();
        Ok(entries
            .map(|it| StreamEntry { stream: Arc::clone(stream), id: it.id, fields: it.fields })
            .collect())
    }
}

#[async_trait]
impl Streams for ValkeyStreams {
    async fn read(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, BackendError> {
        self.over(async |connection| self.read_on(connection, consumer, max, wait).await).await
    }

    async fn adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<StreamEntry>, BackendError> {
        self.over(async |connection| self.adopt_on(connection, consumer, max, idle).await).await
    }

    async fn done(&self, entries: &[StreamEntry]) -> Result<(), BackendError> {
        let mut commands = Vec::new();
        for stream in &self.streams {
            let ids: Vec<&str> =
                entries.iter().filter(|entry| entry.stream == *stream).map(|entry| &*entry.id).collect();
            if ids.is_empty() {
                continue;
            }
            let ack = Command::new("XACK", 0).arg(&**stream).arg(&*self.group).args(ids.iter().copied());
            commands.push(ack);
            if self.delete {
                commands.push(Command::new("XDEL", 0).arg(&**stream).args(ids));
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.over(async |connection| {
            let answers = connection.call_all(commands).await.map_err(|error| explain(&error))?;
            answers.into_iter().try_for_each(|answer| answer.map(drop).map_err(|error| explain(&error)))
        })
        .await
    }

    async fn leave(&self, consumer: &str) -> Result<(), BackendError> {
        self.over(async |connection| {
            for stream in &self.streams {
                let command = Command::new("XGROUP", 0).arg("DELCONSUMER").arg(&**stream).arg(&*self.group);
                self.ask(connection, command.arg(consumer)).await?;
            }
            Ok(())
        })
        .await
    }
}

fn made_already(error: &Error) -> bool {
    error.details().starts_with("BUSYGROUP")
}
