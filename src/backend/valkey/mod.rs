//! [`Backend`] over Valkey or Redis: the only place that knows fred, Lua and key names.
//!
//! Every operation that must be one step is one script. Data goes over a [`link::Generation`] of connections that have
//! all been through the [`handshake`]; messages and waiting have connections of their own.

mod address;
mod codec;
mod connection;
mod entries;
mod errors;
mod function;
mod handshake;
mod inbox;
mod keys;
mod link;
mod log;
mod members;
mod reply;
mod script;
mod subscription;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, try_join_all};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::address::Credentials;
use self::connection::{Arg, Command, Connection, Opener, Task};
use self::entries::Looked;
use self::handshake::{Checked, Fault};
use self::keys::Keyspace;
use self::link::{Generation, Link, Parts};
use super::{
    Backend, BackendError, Beat, EntryId, Fill, Filled, Found, Head, InboxEntry, LinkState, LoadId, Logged,
    Lookup, Member, Publication, Published, Stored, Subscription, Token,
};
use crate::model::{Seq, Shard, ShardCount};

/// Where the server is and how it is used.
#[derive(Clone)]
pub struct Settings {
    /// `valkey://…`, `valkeys://…`, `valkey-cluster://…`, `valkey-sentinel://…`, or with `redis`.
    pub url: String,
    /// Replicas for reads of entries.
    pub reader_url: Option<String>,
    /// Instead of the URL's user.
    pub username: Option<String>,
    /// Instead of the URL's password.
    pub password: Option<String>,
    /// Root certificates instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// Connections for data; at least one is made.
    pub pool: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub command_timeout: Duration,
    /// The cluster's name: part of every key.
    pub cluster: String,
    /// How many shards its keys are spread over.
    pub shards: ShardCount,
    /// About how many events a shard's log keeps.
    pub log_max_events: u64,
    /// How many names each of a shard's two generations of watermarks holds.
    pub watermarks_max: u64,
    /// Replicas that must have an event before it counts as published.
    pub min_replicas_ack: u32,
}

impl fmt::Debug for Settings {
    /// Without what may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cluster", &self.cluster)
            .field("shards", &self.shards)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// Valkey 7.2 and later, or Redis 7.0 and later.
pub struct Valkey {
    shared: Shared,
    opener: Opener,
    pool: usize,
    primary: Link,
    reader: Option<(Link, Opener)>,
}

/// What every operation needs beside a connection.
struct Shared {
    keys: Keyspace,
    /// The highest number seen of each shard: a new lineage starts above it.
    seen: Vec<AtomicU64>,
    /// On Valkey Cluster fred follows a moved slot to a server that no handshake has seen: scripts look for themselves.
    check_identity: bool,
    log_max_events: u64,
    watermarks_max: u64,
    min_replicas_ack: u32,
    command_timeout: Duration,
}

impl Shared {
    /// Far below where a double stops counting, far above what any clock gives.
    const KNOWN_MAX: Seq = 1 << 52;

    fn seen(&self, shard: Shard, seq: Seq) {
        if let Some(seen) = self.seen.get(usize::from(shard.0)) {
            seen.fetch_max(seq.min(Self::KNOWN_MAX), Ordering::Relaxed);
        }
    }

    fn known(&self, shard: Shard) -> Seq {
        self.seen.get(usize::from(shard.0)).map_or(0, |seen| seen.load(Ordering::Relaxed))
    }

    /// What scripts keep of the configuration.
    fn settings_args(&self) -> [Arg; 3] {
        [
            Arg::from(self.log_max_events),
            Arg::from(self.watermarks_max),
            Arg::from(u64::from(self.keys.count().get())),
        ]
    }
}

impl Valkey {
    /// Checks the settings; [`Backend::keep_connected`] connects.
    pub fn new(settings: Settings) -> Result<Arc<Self>, BackendError> {
        let Settings {
            url,
            reader_url,
            username,
            password,
            ca_file,
            pool,
            connect_timeout,
            command_timeout,
            cluster,
            shards,
            log_max_events,
            watermarks_max,
            min_replicas_ack,
        } = settings;
        if cluster.is_empty() || cluster.contains(['{', '}']) {
            return Err(BackendError::Refused(format!("cluster name `{cluster}` is empty or holds a brace")));
        }
        let credentials = Credentials {
            username: username.as_deref(),
            password: password.as_deref(),
            ca_file: ca_file.as_deref(),
        };
        let opener = |url: &str| {
            let config = address::config(url, credentials)?;
            Ok::<_, BackendError>(Opener::new(config, connect_timeout, command_timeout))
        };
        let primary = opener(&url)?;
        let reader = reader_url.as_deref().map(opener).transpose()?;
        let keys = Keyspace::new(&cluster, shards);
        Ok(Arc::new(Self {
            shared: Shared {
                seen: shards.all().map(|_| AtomicU64::new(0)).collect(),
                keys,
                check_identity: primary.is_clustered(),
                log_max_events: log_max_events.max(1),
                watermarks_max: watermarks_max.max(1),
                min_replicas_ack,
                command_timeout,
            },
            opener: primary,
            pool: pool.max(1),
            primary: Link::new("primary", command_timeout),
            reader: reader.map(|opener| (Link::new("reader", command_timeout), opener)),
        }))
    }

    /// How long one PING takes, and what answers it, such as `valkey 9.1.2`.
    pub async fn ping(&self) -> Result<(Duration, String), BackendError> {
        let generation = self.primary.connected()?;
        let sent = Instant::now();
        let ping = generation.data().call(Command::new("PING", 0));
        self.run(&generation, async { ping.await.map_err(|error| errors::explain(&error)) }).await?;
        Ok((sent.elapsed(), generation.server.clone()))
    }

    /// The connections of a generation, each checked.
    async fn connect(&self) -> Result<Parts, Fault> {
        let waiting = if self.shared.min_replicas_ack == 0 { 0 } else { self.pool };
        let made = try_join_all((0..self.pool + waiting).map(|_| self.open())).await?;
        let (mut data, mut tasks, mut checks) = (Vec::new(), Vec::new(), Vec::new());
        for (connection, task, checked) in made {
            data.push(connection);
            tasks.push(task);
            checks.push(checked);
        }
        let Some(Checked { server, mut warnings }) = checks.pop() else {
            return Err(Fault::Down(BackendError::Unavailable("no connection was made".to_owned())));
        };
        if self.provides_function()
            && let Err(error) = function::provide(&data[0]).await
        {
            warnings.push(format!("the function `coherd_invalidate` could not be loaded: {error}"));
        }
        let waiting = data.split_off(self.pool);
        Ok(Parts { server, warnings, data, waiting, tasks })
    }

    /// One connection that may be used.
    async fn open(&self) -> Result<(Connection, Task, Checked), Fault> {
        let (connection, task) = self.opener.open().await?;
        let checked = handshake::handshake(&self.shared, &connection).await?;
        Ok((connection, task, checked))
    }

    /// Replicas are only peeked at, and what they hold proves itself: nothing to check.
    async fn connect_reader(&self, opener: &Opener) -> Result<Parts, Fault> {
        let made = try_join_all((0..self.pool).map(|_| opener.open())).await?;
        let (data, tasks) = made.into_iter().unzip();
        Ok(Parts { server: "a replica".to_owned(), warnings: Vec::new(), data, waiting: Vec::new(), tasks })
    }

    /// An event concerns every shard, a function call reaches one.
    fn provides_function(&self) -> bool {
        !self.opener.is_clustered()
    }

    /// What an operation says while the generation lives. A server that became a replica ends it.
    async fn run<T>(
        &self,
        generation: &Generation,
        operation: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let result = generation.within(operation).await;
        if let Err(BackendError::Refused(why)) = &result
            && errors::is_demotion(why)
        {
            generation.end("the server is no primary any more");
        }
        result
    }

    /// Begins the lineage of a shard that lost its data, over a connection in use.
    async fn reconcile(&self, connection: &Connection, shard: Shard) -> Result<(), BackendError> {
        Ok(handshake::reconcile(&self.shared, connection, shard).await?)
    }
}

#[async_trait]
impl Backend for Valkey {
    fn shards(&self) -> ShardCount {
        self.shared.keys.count()
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.primary.state()
    }

    async fn keep_connected(&self, stop: CancellationToken) -> Result<(), BackendError> {
        let attend = async |generation: Arc<Generation>| {
            if self.provides_function() {
                function::look_after(&generation).await;
            }
            pending().await
        };
        let primary = self.primary.keep(&stop, || self.connect(), attend);
        let reader = async {
            if let Some((link, opener)) = &self.reader {
                link.keep(&stop, || self.connect_reader(opener), |_| pending()).await;
            }
        };
        join(primary, reader).await;
        Ok(())
    }

    fn distrust(&self, why: &str) {
        self.primary.distrust(why);
    }

    async fn peek(&self, entries: &[EntryId]) -> Result<Vec<Option<Stored>>, BackendError> {
        if let Some(generation) = self.reader.as_ref().and_then(|(link, _)| link.generation()) {
            let peeked = generation.within(entries::peek(&self.shared, generation.data(), entries)).await;
            if peeked.is_ok() {
                return peeked;
            }
        }
        let generation = self.primary.connected()?;
        self.run(&generation, entries::peek(&self.shared, generation.data(), entries)).await
    }

    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError> {
        let generation = self.primary.connected()?;
        let connection = generation.data();
        self.run(&generation, async {
            if let Looked::Found(found) = entries::lookup(&self.shared, connection, &lookup).await? {
                return Ok(found);
            }
            self.reconcile(connection, self.shared.keys.of(&lookup.entry).0).await?;
            match entries::lookup(&self.shared, connection, &lookup).await? {
                Looked::Found(found) => Ok(found),
                Looked::NoLineage => {
                    Err(BackendError::Unavailable("the shard keeps losing its lineage".to_owned()))
                }
            }
        })
        .await
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, entries::fill(&self.shared, generation.data(), &fill)).await
    }

    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, entries::release(&self.shared, generation.data(), entry, load)).await
    }

    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, log::publish(&self.shared, generation.waiting(), shard, &publication)).await
    }

    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::beat(&self.shared, generation.data(), shard, &beat)).await
    }

    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::confirm(&self.shared, generation.data(), shard, instance, cursor))
            .await
    }

    async fn head(&self, shard: Shard) -> Result<Token, BackendError> {
        let generation = self.primary.connected()?;
        let connection = generation.data();
        self.run(&generation, async {
            if let Some(token) = log::head(&self.shared, connection, shard).await? {
                return Ok(token);
            }
            self.reconcile(connection, shard).await?;
            let token = log::head(&self.shared, connection, shard).await?;
            token.ok_or_else(|| BackendError::Unavailable("the shard keeps losing its lineage".to_owned()))
        })
        .await
    }

    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, log::read_log(&self.shared, generation.data(), shard, after, max)).await
    }

    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::members(&self.shared, generation.data(), shard)).await
    }

    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::forget(&self.shared, generation.data(), shard, instance, beats)).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError> {
        let generation = self.primary.connected()?;
        let subscribing = subscription::subscribe(&self.shared, &self.opener, generation.ended());
        Ok(Box::new(self.run(&generation, subscribing).await?))
    }

    async fn inbox(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, async {
            let (connection, task) = match generation.unpark() {
                Some(parked) => parked,
                None => {
                    let (connection, task, _) = self.open().await?;
                    (connection, task)
                }
            };
            let entries = inbox::read(&self.shared, &connection, consumer, max, wait).await;
            // one that did not answer in time may still be blocked: it goes, the next call makes another
            if entries.is_ok() {
                generation.park(connection, task);
            }
            entries
        })
        .await
    }

    async fn inbox_adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, inbox::adopt(&self.shared, generation.data(), consumer, max, idle)).await
    }

    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, inbox::done(&self.shared, generation.data(), ids)).await
    }
}
