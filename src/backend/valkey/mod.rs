//! [`Backend`] over Valkey or Redis: the only place that knows fred, Lua and key names.
//!
//! Every operation that must be one step is one script. Data goes over a `link::Generation` of connections, each a `pipe`,
//! that have all been through the `handshake`; messages and waiting have connections of their own.

mod address;
mod arguments;
mod at;
mod batches;
mod claims;
mod cluster;
mod codec;
mod connection;
mod context;
mod durable;
mod entries;
mod errors;
mod fills;
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
mod lookups;
mod making;
mod members;
mod message;
mod needed;
mod pages;
mod peeks;
mod pipe;
mod publish;
mod replica;
mod reply;
mod resp;
mod rounds;
mod script;
mod sentinel;
mod settings;
mod socket;
mod spelling;
mod steps;
mod streams;
mod subscription;
mod testimony;
#[cfg(test)]
mod tests;
mod tls;
mod together;
mod tracking;
mod value;
mod writes;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{join, select};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::address::Credentials;
use self::cluster::{Cluster, Spread};
use self::connection::{Command, Opener};
use self::context::Context;
use self::link::{Generation, Link};
use self::replica::Replica;
use self::sentinel::Sentinels;
pub use self::settings::Settings;
pub use self::streams::{StreamSettings, ValkeyStreams};
use self::subscription::Scope;
use super::{
    Arrival, Backend, BackendError, Beat, Dead, EntryId, Fence, Fill, Filled, Found, Head, HotKey,
    InboxEntry, Judged, Leave, Line, LinkState, LoadId, LockAsk, LockToken, Locked, Logged, Look, Lookup,
    Member, Partition, Publication, Published, Settled, Settlement, Stored, Subscription, Survey, Take,
    Taken, Testimony, Token, Waiting,
};
use crate::model::{Key, Namespace, Seq, Shard, ShardCount, Verdict};

/// Where the inbox is.
const INBOX: Shard = Shard(0);

/// Valkey 7.2 and later, or Redis 7.0 and later.
pub struct Valkey {
    context: Arc<Context>,
    opener: Opener,
    pool: usize,
    sentinels: Option<Sentinels>,
    primary: Link,
    /// Instead of it.
    cluster: Option<Arc<Cluster>>,
    replica: Option<Replica>,
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
        let reader = |url: &str| {
            let alone = Credentials { username: None, password: None, ..credentials };
            let own = address::config(url, alone)?;
            let config = match (&own.username, &own.password) {
                (None, None) => address::config(url, credentials)?,
                _ => own,
            };
            let opener = Opener::new(config, connect_timeout, command_timeout);
            Ok::<_, BackendError>(Replica::new(opener, command_timeout))
        };
        let replica = settings.reader_url.as_deref().map(reader).transpose()?;
        if primary.is_clustered() && replica.is_some() {
            let why = "a Cluster has no `backend.reader_url`: entries are read from their primaries";
            return Err(BackendError::Refused(why.to_owned()));
        }
        let context = Arc::new(Context::new(&settings, primary.is_clustered()));
        let cluster = || Cluster::new(&context, &primary, command_timeout);
        Ok(Arc::new(Self {
            cluster: primary.is_clustered().then(cluster),
            context,
            sentinels: primary
                .sentinels()
                .map(|(servers, service)| Sentinels::new(servers, service, primary.clone(), connect_timeout)),
            opener: primary,
            pool: settings.pool.max(1),
            primary: Link::new("primary", command_timeout),
            replica,
        }))
    }

    /// How long one PING takes, and what answers it, such as `valkey 9.1.2`: on a Cluster the server of the first shard.
    pub async fn ping(&self) -> Result<(Duration, String), BackendError> {
        let at = self.at(Shard(0))?;
        let sent = Instant::now();
        let ping = at.data().call(Command::new("PING", 0));
        self.run(&at, pin!(async { ping.await.map_err(|error| errors::explain(&error)) })).await?;
        Ok((sent.elapsed(), at.server.clone()))
    }
}

#[async_trait]
impl Backend for Valkey {
    fn shards(&self) -> ShardCount {
        self.context.keys.count()
    }

    fn stands_as_one(&self) -> bool {
        self.cluster.is_none()
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.cluster.as_ref().map_or_else(|| self.primary.state(), |cluster| cluster.state())
    }

    async fn keep_connected(&self, stop: CancellationToken) -> Result<(), BackendError> {
        if let Some(cluster) = &self.cluster {
            cluster.keep(self, &stop).await;
            return Ok(());
        }
        let attend = async |generation: Arc<Generation>| {
            let replaced = async {
                match (&self.sentinels, &generation.primary) {
                    (Some(sentinels), Some(primary)) => generation.end(&sentinels.replaced(primary).await),
                    _ => pending().await,
                }
            };
            let function = async {
                if self.provides_function() {
                    function::look_after(&generation).await;
                }
                pending::<()>().await;
            };
            let batches = join(function, generation.batches().serve(&self.context, &generation));
            select(pin!(replaced), pin!(batches)).await;
        };
        let primary = self.primary.keep(&stop, || self.connect(None), attend);
        let replica = async {
            if let Some(replica) = &self.replica {
                replica.keep(&stop, |opener| self.connect_reader(opener)).await;
            }
        };
        join(primary, replica).await;
        Ok(())
    }

    fn distrust(&self, shard: Shard, why: &str) {
        match &self.cluster {
            Some(cluster) => cluster.distrust(shard, why),
            None => self.primary.distrust(why),
        }
    }

    async fn peek(&self, entries: &[EntryId]) -> Result<Vec<Option<Stored>>, BackendError> {
        if let Some(replica) = &self.replica
            && let Some(found) = Box::pin(replica.peek(&self.context, entries)).await
        {
            return Ok(found);
        }
        match entries {
            [entry] => Ok(vec![self.peek_one(entry).await?]),
            _ => Box::pin(self.peek_primaries(entries)).await,
        }
    }

    async fn lookup(&self, lookup: Lookup) -> Result<Found, BackendError> {
        self.look_up(lookup).await
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, BackendError> {
        let at = self.at_entry(&fill.entry)?;
        self.run(&at, pin!(at.batches().fills.ask(&self.context, &at, at.shard(), fill))).await
    }

    async fn lease(&self, entry: &EntryId) -> Result<Option<(LoadId, Duration)>, BackendError> {
        let at = self.at_entry(entry)?;
        self.run(&at, pin!(entries::lease(&self.context, at.data(), entry))).await
    }

    async fn release(&self, entry: &EntryId, load: &LoadId) -> Result<(), BackendError> {
        let at = self.at_entry(entry)?;
        self.run(&at, pin!(entries::release(&self.context, at.data(), entry, load))).await
    }

    async fn publish(&self, shard: Shard, publication: Publication) -> Result<Published, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(publish::publish(&self.context, &at, shard, publication))).await
    }

    async fn beat(&self, shard: Shard, beat: Beat) -> Result<Head, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(members::beat(&self.context, at.data(), shard, &beat))).await
    }

    async fn testify(&self, shard: Shard, testimony: Testimony) -> Result<Judged, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(testimony::testify(&self.context, at.data(), shard, &testimony))).await
    }

    async fn confirm(&self, shard: Shard, instance: &str, cursor: Seq) -> Result<(), BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(members::confirm(&self.context, at.data(), shard, instance, cursor))).await
    }

    async fn head(&self, shard: Shard) -> Result<Token, BackendError> {
        let at = self.at(shard)?;
        self.in_a_lineage(&at, || log::head(&self.context, at.data(), shard)).await
    }

    async fn read_log(&self, shard: Shard, after: Seq, max: usize) -> Result<Vec<Logged>, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(log::read_log(&self.context, &at, shard, after, max))).await
    }

    async fn members(&self, shard: Shard) -> Result<Vec<Member>, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(members::members(&self.context, at.data(), shard))).await
    }

    async fn forget(&self, shard: Shard, instance: &str, beats: Option<u64>) -> Result<(), BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(members::forget(&self.context, at.data(), shard, instance, beats))).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BackendError> {
        if let Some(cluster) = &self.cluster {
            return Ok(Box::new(Spread::subscribe(&self.context, cluster).await?));
        }
        let generation = self.primary.connected()?;
        let scope = Scope { shards: self.context.keys.count().all().collect(), sharded: false };
        let subscribing =
            subscription::subscribe(&self.context, &generation.opener, generation.ended(), scope);
        Ok(Box::new(generation.within(subscribing).await?))
    }

    async fn admit(&self, arrival: Arrival<'_>) -> Result<Verdict, BackendError> {
        let at = self.at(limits::shard(&self.context, arrival))?;
        self.run(&at, pin!(limits::admit(&self.context, at.data(), arrival))).await
    }

    async fn lock(&self, ask: LockAsk<'_>) -> Result<Locked, BackendError> {
        let at = self.at(self.context.keys.count().of_lock(ask.name))?;
        self.in_a_lineage(&at, || locks::lock(&self.context, at.data(), ask)).await
    }

    async fn extend(
        &self,
        name: &Key,
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Option<Fence>, BackendError> {
        let at = self.at(self.context.keys.count().of_lock(name))?;
        self.in_a_lineage(&at, || locks::extend(&self.context, at.data(), name, token, ttl)).await
    }

    async fn unlock(&self, name: &Key, token: &LockToken) -> Result<bool, BackendError> {
        let at = self.at(self.context.keys.count().of_lock(name))?;
        self.run(&at, pin!(locks::unlock(&self.context, at.data(), name, token))).await
    }

    async fn keep_hot(&self, namespace: &Namespace, keys: &[HotKey]) -> Result<(), BackendError> {
        let at = self.at(self.context.keys.count().of_hot(namespace))?;
        self.run(&at, pin!(hot::keep(&self.context, at.data(), namespace, keys))).await
    }

    async fn hot(&self, namespace: &Namespace) -> Result<Vec<Key>, BackendError> {
        let at = self.at(self.context.keys.count().of_hot(namespace))?;
        self.run(&at, pin!(hot::keys(&self.context, at.data(), namespace))).await
    }

    async fn inbox(
        &self,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let at = self.at(INBOX)?;
        let asked = pin!(async {
            let (connection, task) =
                if let Some(parked) = at.unpark() { parked } else { self.open_at(&at).await? };
            let entries = inbox::read(&self.context, &connection, consumer, max, wait).await;
            // one that did not answer in time may still be blocked: it goes, the next call makes another
            if entries.is_ok() {
                at.park(connection, task);
            }
            entries
        });
        self.run(&at, asked).await
    }

    async fn inbox_adopt(
        &self,
        consumer: &str,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<InboxEntry>, BackendError> {
        let at = self.at(INBOX)?;
        self.run(&at, pin!(inbox::adopt(&self.context, at.data(), consumer, max, idle))).await
    }

    async fn inbox_done(&self, ids: &[String]) -> Result<(), BackendError> {
        let at = self.at(INBOX)?;
        self.run(&at, pin!(inbox::done(&self.context, at.data(), ids))).await
    }

    async fn take_writes(&self, shard: Shard, take: Take) -> Result<Taken, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(writes::take(&self.context, at.data(), shard, &take))).await
    }

    async fn value_of_write(&self, shard: Shard, line: &Line) -> Result<Option<Bytes>, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(writes::value(&self.context, at.data(), line))).await
    }

    async fn settle_writes(
        &self,
        shard: Shard,
        partition: Partition,
        settled: Vec<(Line, Settled)>,
    ) -> Result<Vec<Settlement>, BackendError> {
        let at = self.at(shard)?;
        let settling = writes::settle(&self.context, at.data(), shard, partition, &settled);
        self.run(&at, pin!(settling)).await
    }

    async fn leave_writes(&self, shard: Shard, leave: Leave) -> Result<(), BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(writes::leave(&self.context, at.data(), shard, &leave))).await
    }

    async fn survey(&self, shard: Shard, look: Look) -> Result<Survey, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(writes::survey(&self.context, at.data(), shard, &look))).await
    }

    async fn waiting_writes(
        &self,
        shard: Shard,
        partition: Partition,
        max: usize,
    ) -> Result<Vec<Waiting>, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(writes::waiting(&self.context, at.data(), shard, partition, max))).await
    }

    async fn dead_writes(&self, shard: Shard, after: &str, max: usize) -> Result<Vec<Dead>, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(writes::dead(&self.context, at.data(), shard, after, max))).await
    }

    async fn drop_dead(&self, shard: Shard, ids: &[String]) -> Result<u64, BackendError> {
        let at = self.at(shard)?;
        self.run(&at, pin!(writes::drop_dead(&self.context, at.data(), shard, ids))).await
    }
}

fn keeps_losing() -> BackendError {
    BackendError::Unavailable("the shard keeps losing its lineage".to_owned())
}
