//! [`Backend`] over Valkey or Redis: the only place that knows fred, Lua and key names.
//!
//! Every operation that must be one step is one script. Data goes over a `link::Generation` of connections that have
//! all been through the `handshake`; messages and waiting have connections of their own.

mod address;
mod codec;
mod connection;
mod context;
mod durable;
mod entries;
mod errors;
mod function;
pub(crate) mod fuzzing;
mod handshake;
mod hot;
mod inbox;
mod keys;
mod limits;
mod link;
mod locks;
mod log;
mod making;
mod members;
mod publish;
mod reply;
mod rounds;
mod script;
mod settings;
mod steps;
mod subscription;
#[cfg(test)]
mod tests;
mod tls;
mod writes;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::address::Credentials;
use self::connection::{Command, Connection, Opener};
use self::context::Context;
use self::entries::Looked;
use self::link::{Generation, Link};
use self::locks::Asked;
pub use self::settings::Settings;
use super::{
    Arrival, Backend, BackendError, Beat, Dead, EntryId, Fence, Fill, Filled, Found, Head, HotKey,
    InboxEntry, Leave, Line, LinkState, LoadId, LockAsk, LockToken, Locked, Logged, Look, Lookup, Member,
    Partition, Publication, Published, Settled, Settlement, Stored, Subscription, Survey, Take, Taken, Token,
    Waiting,
};
use crate::model::{Key, Namespace, Seq, Shard, ShardCount, Verdict};

/// Valkey 7.2 and later, or Redis 7.0 and later.
pub struct Valkey {
    context: Context,
    opener: Opener,
    pool: usize,
    primary: Link,
    reader: Option<(Link, Opener)>,
}

impl Valkey {
    /// Checks the settings; [`Backend::keep_connected`] connects.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "they may hold a password, and nobody needs them afterwards"
    )]
    pub fn new(settings: Settings) -> Result<Arc<Self>, BackendError> {
        if settings.cluster.is_empty() || settings.cluster.contains(['{', '}']) {
            let cluster = &settings.cluster;
            return Err(BackendError::Refused(format!("cluster name `{cluster}` is empty or holds a brace")));
        }
        let credentials = Credentials {
            username: settings.username.as_deref(),
            password: settings.password.as_deref(),
            ca_file: settings.ca_file.as_deref(),
        };
        let (connect_timeout, command_timeout) = (settings.connect_timeout, settings.command_timeout);
        let opener = |url: &str| {
            let config = address::config(url, credentials)?;
            Ok::<_, BackendError>(Opener::new(config, connect_timeout, command_timeout))
        };
        let primary = opener(&settings.url)?;
        let reader = settings.reader_url.as_deref().map(opener).transpose()?;
        Ok(Arc::new(Self {
            context: Context::new(&settings, primary.is_clustered()),
            opener: primary,
            pool: settings.pool.max(1),
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
        Ok(handshake::reconcile(&self.context, connection, shard).await?)
    }
}

#[async_trait]
impl Backend for Valkey {
    fn shards(&self) -> ShardCount {
        self.context.keys.count()
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.primary.state()
    }

    async fn keep_connected(&self, stop: CancellationToken) -> Result<(), BackendError> {
        let attend = async |generation: Arc<Generation>| {
            let function = async {
                if self.provides_function() {
                    function::look_after(&generation).await;
                }
                pending::<()>().await;
            };
            join(function, generation.steps().serve(&self.context, &generation)).await;
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
            let peeked = generation.within(entries::peek(&self.context, generation.data(), entries)).await;
            if peeked.is_ok() {
                return peeked;
            }
        }
        let generation = self.primary.connected()?;
        self.run(&generation, entries::peek(&self.context, generation.data(), entries)).await
    }

    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError> {
        let generation = self.primary.connected()?;
        let connection = generation.data();
        self.run(&generation, async {
            if let Looked::Found(found) = entries::lookup(&self.context, connection, &lookup).await? {
                return Ok(found);
            }
            self.reconcile(connection, self.context.keys.of(&lookup.entry).0).await?;
            match entries::lookup(&self.context, connection, &lookup).await? {
                Looked::Found(found) => Ok(found),
                Looked::NoLineage => Err(keeps_losing()),
            }
        })
        .await
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, entries::fill(&self.context, generation.data(), &fill)).await
    }

    async fn lease(&self, entry: &EntryId) -> Result<Option<(LoadId, Duration)>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, entries::lease(&self.context, generation.data(), entry)).await
    }

    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, entries::release(&self.context, generation.data(), entry, load)).await
    }

    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, publish::publish(&self.context, &generation, shard, publication)).await
    }

    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::beat(&self.context, generation.data(), shard, &beat)).await
    }

    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::confirm(&self.context, generation.data(), shard, instance, cursor))
            .await
    }

    async fn head(&self, shard: Shard) -> Result<Token, BackendError> {
        let generation = self.primary.connected()?;
        let connection = generation.data();
        self.run(&generation, async {
            if let Some(token) = log::head(&self.context, connection, shard).await? {
                return Ok(token);
            }
            self.reconcile(connection, shard).await?;
            let token = log::head(&self.context, connection, shard).await?;
            token.ok_or_else(keeps_losing)
        })
        .await
    }

    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, log::read_log(&self.context, generation.data(), shard, after, max)).await
    }

    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::members(&self.context, generation.data(), shard)).await
    }

    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, members::forget(&self.context, generation.data(), shard, instance, beats)).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError> {
        let generation = self.primary.connected()?;
        let subscribing = subscription::subscribe(&self.context, &self.opener, generation.ended());
        Ok(Box::new(self.run(&generation, subscribing).await?))
    }

    async fn admit(&self, arrival: Arrival<'_>) -> Result<Verdict, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, limits::admit(&self.context, generation.data(), arrival)).await
    }

    async fn lock(&self, ask: LockAsk<'_>) -> Result<Locked, BackendError> {
        let generation = self.primary.connected()?;
        let connection = generation.data();
        self.run(&generation, async {
            if let Asked::Answered(locked) = locks::lock(&self.context, connection, ask).await? {
                return Ok(locked);
            }
            self.reconcile(connection, self.context.keys.count().of_lock(ask.name)).await?;
            match locks::lock(&self.context, connection, ask).await? {
                Asked::Answered(locked) => Ok(locked),
                Asked::NoLineage => Err(keeps_losing()),
            }
        })
        .await
    }

    async fn extend(
        &self,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Option<Fence>, BackendError> {
        let generation = self.primary.connected()?;
        let connection = generation.data();
        self.run(&generation, async {
            if let Asked::Answered(fence) = locks::extend(&self.context, connection, name, token, ttl).await?
            {
                return Ok(fence);
            }
            self.reconcile(connection, self.context.keys.count().of_lock(name)).await?;
            match locks::extend(&self.context, connection, name, token, ttl).await? {
                Asked::Answered(fence) => Ok(fence),
                Asked::NoLineage => Err(keeps_losing()),
            }
        })
        .await
    }

    async fn unlock(&self, name: &Key, token: &LockToken) -> Result<bool, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, locks::unlock(&self.context, generation.data(), name, token)).await
    }

    async fn keep_hot(&self, namespace: &Namespace, keys: &[HotKey]) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, hot::keep(&self.context, generation.data(), namespace, keys)).await
    }

    async fn hot(&self, namespace: &Namespace) -> Result<Vec<Key>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, hot::keys(&self.context, generation.data(), namespace)).await
    }

    async fn inbox(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, async {
            let (connection, task) = if let Some(parked) = generation.unpark() {
                parked
            } else {
                let (connection, task, _) = self.open().await?;
                (connection, task)
            };
            let entries = inbox::read(&self.context, &connection, consumer, max, wait).await;
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
        self.run(&generation, inbox::adopt(&self.context, generation.data(), consumer, max, idle)).await
    }

    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, inbox::done(&self.context, generation.data(), ids)).await
    }

    async fn take_writes(&self, shard: Shard, take: Take) -> Result<Taken, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, writes::take(&self.context, generation.data(), shard, &take)).await
    }

    async fn settle_writes(
        &self,
        shard: Shard,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Result<Vec<Settlement>, BackendError> {
        let generation = self.primary.connected()?;
        let settling = writes::settle(&self.context, generation.data(), shard, partition, &settled);
        self.run(&generation, settling).await
    }

    async fn leave_writes(&self, shard: Shard, leave: Leave) -> Result<(), BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, writes::leave(&self.context, generation.data(), shard, &leave)).await
    }

    async fn survey(&self, shard: Shard, look: Look) -> Result<Survey, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, writes::survey(&self.context, generation.data(), shard, &look)).await
    }

    async fn waiting_writes(
        &self,
        shard: Shard,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Waiting>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, writes::waiting(&self.context, generation.data(), shard, partition, max)).await
    }

    async fn dead_writes(&self, shard: Shard, after: &str, max: usize) -> Result<Vec<Dead>, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, writes::dead(&self.context, generation.data(), shard, after, max)).await
    }

    async fn drop_dead(&self, shard: Shard, ids: &[String]) -> Result<u64, BackendError> {
        let generation = self.primary.connected()?;
        self.run(&generation, writes::drop_dead(&self.context, generation.data(), shard, ids)).await
    }
}

fn keeps_losing() -> BackendError {
    BackendError::Unavailable("the shard keeps losing its lineage".to_owned())
}
