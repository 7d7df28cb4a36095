//! From configuration to rooms: what each is built from, in its own terms.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::StartError;
use super::breakers::Breakers;
use crate::backend::memory::{Limits, Memory, Store};
use crate::backend::valkey::{self, Valkey};
use crate::backend::{Backend, wire};
use crate::cache::{self, Cache, Policy, Refreshers};
use crate::clock::Clock;
use crate::coherence;
use crate::config::{
    BackendKind, CacheControl, Codec, Config, HttpOrigin, L1Policy, Limits as OriginLimits, Mode, Namespace,
    OnFailover, Origin, SqlOrigin, Topology, WriteMode,
};
use crate::guard::Breaker;
use crate::http;
use crate::model::{self, Lifetime, ShardCount};
use crate::origin;
use crate::origin::http::{HttpOrigin as HttpClient, HttpSettings};
use crate::origin::sql::{SqlOrigin as SqlClient, SqlSettings};
use crate::refresh::Queue;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::Metrics;
use crate::telemetry::trace::Tracer;
use crate::tls::{self, Roots};
use crate::write::{self, Writes, Written};

/// What `coherd_build_info` says of the source; set by the build.
const REVISION: &str = match option_env!("COHERD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// How many shards a Cluster's keys are spread over, where nothing is said.
const SHARDS_ON_CLUSTER: u16 = 16;
/// The most calls of the backend that one load waits for one after the other, with room for a repeat: the copy, the
/// lease by plain commands and by the script, the fill.
const BACKEND_CALLS: u32 = 5;
/// What the backend may take of a load's time at least.
const BACKEND_MAX: Duration = Duration::from_secs(5);

pub(super) fn metrics(config: &Config) -> Result<Arc<Metrics>, StartError> {
    let names: Vec<String> = config.namespaces.keys().cloned().collect();
    Ok(Arc::new(Metrics::new(&names, env!("CARGO_PKG_VERSION"), REVISION)?))
}

/// What the configuration says instances share.
pub fn backend(config: &Config) -> Result<Arc<dyn Backend>, StartError> {
    Ok(match config.backend.kind {
        BackendKind::Memory => Arc::new(Memory::join(&store(config))),
        BackendKind::Valkey => Valkey::new(valkey_settings(config)).map_err(StartError::Backend)?,
    })
}

/// An embedded store that several instances of one process may join.
pub fn store(config: &Config) -> Arc<Store> {
    let limits = Limits {
        log_max_events: size(config.coherence.log_max_events),
        watermarks_max: size(config.coherence.watermarks_max),
        ..Limits::default()
    };
    Store::new(ShardCount::ONE, limits, Clock::Boottime, epoch_ms())
}

#[expect(clippy::disallowed_methods, reason = "the store's clock starts from the machine's date, once")]
fn epoch_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Namespaces whose origin can be written, with what the read path has of them.
pub(super) fn written(config: &Config, namespaces: &[cache::Settings]) -> BTreeMap<String, Written> {
    let written = |settings: &cache::Settings| {
        let (name, origin) = (settings.name.to_string(), settings.origin.clone()?);
        let of = config.namespaces.get(&name)?;
        let mode = match of.write {
            WriteMode::Off => return None,
            WriteMode::Invalidate => write::Mode::Invalidate,
            WriteMode::Through => write::Mode::Through,
            WriteMode::Behind => write::Mode::Behind,
        };
        let limits = of.origin.limits()?;
        let written = Written {
            mode,
            origin,
            timeout: limits.timeout,
            retries: limits.retries,
            at_once: limits.max_concurrency / 2,
            lags: !of.origin_lag.is_zero(),
        };
        Some((name, written))
    };
    namespaces.iter().filter_map(written).collect()
}

pub(super) fn writes(
    config: &Config,
    written: BTreeMap<String, Written>,
    cache: &Arc<Cache>,
    coherence: &Arc<coherence::Coherence>,
    backend: &Arc<dyn Backend>,
    supervisor: &Supervisor,
    metrics: &Metrics,
) -> Arc<Writes> {
    let of = &config.write_behind;
    let settings = write::Settings {
        partitions: of.partitions,
        batch: of.batch,
        takeover: of.takeover,
        backlog_max: of.backlog_max,
        initial: of.retry.initial,
        max: of.retry.max,
        attempts: of.retry.attempts,
        grace: config.instance.shutdown_grace,
    };
    let rooms = (Arc::clone(cache), Arc::clone(coherence));
    let (backend, metrics) = (Arc::clone(backend), Arc::clone(&metrics.write_behind));
    Arc::new(Writes::new(written, settings, &config.instance.id, backend, rooms, supervisor.clone(), metrics))
}

/// For `/stats`.
pub(super) fn backlog(writes: &Writes) -> http::Backlog {
    let backlog = writes.backlog();
    http::Backlog {
        pending: backlog.pending,
        oldest_s: backlog.oldest.unwrap_or_default().as_secs_f64(),
        dead: backlog.dead,
    }
}

/// What the configuration says of Valkey.
pub(crate) fn valkey_settings(config: &Config) -> valkey::Settings {
    let backend = &config.backend;
    // Where nothing is said, a Cluster gets enough of them to spread over its servers.
    let shards = match (backend.shards, &backend.url.topology) {
        (0, Topology::Cluster(_)) => SHARDS_ON_CLUSTER,
        (shards, _) => shards,
    };
    valkey::Settings {
        url: backend.url.without_credentials().to_string(),
        reader_url: backend.reader_url.as_ref().map(|url| url.with_credentials().expose().to_owned()),
        username: backend.username.clone(),
        password: backend.password.as_ref().map(|it| it.expose().to_owned()),
        ca_file: backend.ca_file.clone(),
        pool: backend.pool,
        connect_timeout: backend.connect_timeout,
        command_timeout: backend.command_timeout,
        cluster: config.instance.cluster.clone(),
        shards: ShardCount::new(shards),
        log_max_events: config.coherence.log_max_events,
        watermarks_max: config.coherence.watermarks_max,
        min_replicas_ack: config.coherence.min_replicas_ack.into(),
        verify: config.coherence.on_failover == OnFailover::Verify,
        tracking: config.coherence.tracking,
        keeps_writes: config.namespaces.values().any(|namespace| namespace.write == WriteMode::Behind),
        takes_writes: config.namespaces.values().any(|namespace| namespace.write != WriteMode::Off),
    }
}

/// What is followed and followed up beside the log, where that is wanted. Before the rooms start.
pub(super) fn follow(
    config: &Config,
    supervisor: &Supervisor,
    coherence: &Arc<coherence::Coherence>,
    cache: &Cache,
    metrics: &Metrics,
) {
    if config.coherence.on_failover == OnFailover::Verify {
        coherence.vouch(supervisor);
    }
    if config.coherence.tracking {
        cache.follow_foreign();
    }
    cache.monitor(config.monitor.sample, metrics);
}

pub(super) fn keep_connected(supervisor: &Supervisor, backend: &Arc<dyn Backend>) {
    let backend = Arc::clone(backend);
    supervisor.task(Stage::Backend, "backend.connection", move |stop| {
        let backend = Arc::clone(&backend);
        async move { backend.keep_connected(stop).await.map_err(Into::into) }
    });
}

pub(super) fn coherence(
    config: &Config,
    backend: &Arc<dyn Backend>,
    clock: Clock,
    metrics: &Metrics,
    tracer: &Tracer,
) -> Result<coherence::Settings, StartError> {
    let namespaces: HashMap<_, _> = config
        .namespaces
        .iter()
        .map(|(name, namespace)| Ok((checked(name)?, (namespace.version, namespace.max_staleness))))
        .collect::<Result<_, StartError>>()?;
    let depends = config.namespaces.values().flat_map(|namespace| &namespace.depends_on);
    let depended_on: HashSet<_> =
        depends.filter_map(|it| model::Namespace::new(it.split_once('/')?.0).ok()).collect();
    Ok(coherence::Settings {
        backend: Arc::clone(backend),
        clock,
        metrics: Arc::clone(&metrics.coherence),
        tracer: tracer.clone(),
        instance: config.instance.id.clone(),
        process: rand::random(),
        slots: coherence::SLOTS,
        namespaces,
        depended_on,
        max_staleness: config.coherence.max_staleness,
        recent: config.namespaces.values().map(asked_about).max().unwrap_or_default(),
    })
}

/// How far back the events may lie that a load asks about when it has ended.
fn asked_about(of: &Namespace) -> Duration {
    let load_max = of.origin.limits().map_or(Duration::ZERO, |limits| limits.timeout);
    if of.origin_lag.is_zero() { Duration::ZERO } else { of.origin_lag + load_max }
}

/// Where each namespace's wishes for refreshes wait, if it has an origin.
pub(super) fn queues(config: &Config, clock: &Clock, metrics: &Metrics) -> BTreeMap<String, Arc<Queue>> {
    let loading = config.namespaces.iter().filter(|(_, namespace)| namespace.origin.limits().is_some());
    loading
        .map(|(name, _)| {
            let depth = metrics.namespace(name).refreshes_waiting.clone();
            (name.clone(), Arc::new(Queue::new(clock.clone(), depth)))
        })
        .collect()
}

pub(super) fn refresh(
    config: &Config,
    supervisor: &Supervisor,
    cache: &Arc<Cache>,
    queues: &BTreeMap<String, Arc<Queue>>,
) {
    for (name, queue) in queues {
        if let Some(limits) = config.namespaces.get(name).and_then(|namespace| namespace.origin.limits()) {
            let instance = &config.instance.id;
            crate::refresh::start(supervisor, cache, name, queue, instance, limits.max_concurrency);
        }
    }
}

pub(super) async fn namespaces(
    config: &Config,
    queues: &BTreeMap<String, Arc<Queue>>,
    breakers: &mut Breakers,
) -> Result<Vec<cache::Settings>, StartError> {
    let mut built = Vec::new();
    for (name, namespace) in &config.namespaces {
        let origin = origin(config, name, namespace, breakers).await?;
        let refreshers = queues.get(name).map(|queue| Arc::clone(queue) as Arc<dyn Refreshers>);
        let backend_max = backend_max(config.backend.command_timeout);
        built.push(space(checked(name)?, namespace, origin, backend_max, refreshers));
    }
    Ok(built)
}

/// What the backend may take of a load's time, where it may take that long for one answer.
fn backend_max(command_timeout: Duration) -> Duration {
    command_timeout.saturating_mul(BACKEND_CALLS).max(BACKEND_MAX)
}

fn space(
    name: model::Namespace,
    of: &Namespace,
    origin: Option<Arc<dyn origin::Origin>>,
    backend_max: Duration,
    refreshers: Option<Arc<dyn Refreshers>>,
) -> cache::Settings {
    cache::Settings {
        name,
        version: of.version,
        max_staleness: of.max_staleness,
        available: of.coherence == Mode::Available,
        lifetime: Lifetime {
            fresh: of.ttl,
            stale_while_revalidate: of.stale_while_revalidate,
            stale_if_error: of.stale_if_error,
        },
        ttl_jitter: of.ttl_jitter,
        negative_ttl: of.negative_ttl,
        lease: of.lease,
        l1_capacity: of.l1_capacity,
        l1_policy: match of.l1_policy {
            L1Policy::TinyLfu => Policy::TinyLfu,
            L1Policy::Lru => Policy::Lru,
        },
        max_value: size(of.max_value),
        compression: match of.compression.codec {
            Codec::None => wire::Compression::None,
            Codec::Zstd => wire::Compression::Zstd {
                level: of.compression.level,
                min_size: size(of.compression.min_size),
            },
        },
        tags: of.tags.clone(),
        depends_on: of.depends_on.clone(),
        written: of.origin != Origin::None && of.write != WriteMode::Off,
        behind: of.origin != Origin::None && of.write == WriteMode::Behind,
        load_max: of.origin.limits().map_or(Duration::ZERO, |limits| limits.timeout),
        backend_max,
        soft_timeout: of.origin.limits().map_or(Duration::ZERO, |limits| limits.soft_timeout),
        refresh_ahead: of.refresh_ahead,
        origin_lag: of.origin_lag,
        origin,
        refreshers,
    }
}

async fn origin(
    config: &Config,
    name: &str,
    of: &Namespace,
    breakers: &mut Breakers,
) -> Result<Option<Arc<dyn origin::Origin>>, StartError> {
    let mut breaker =
        |limits: &OriginLimits| breakers.add(format!("origin:{name}"), &limits.breaker, limits.timeout);
    Ok(match &of.origin {
        Origin::None => None,
        Origin::Http(http) => {
            let refused = |source| StartError::Http { namespace: name.to_owned(), source };
            Some(Arc::new(
                HttpClient::new(&http_origin(config, name, of, http, breaker(&http.limits))?)
                    .map_err(refused)?,
            ))
        }
        Origin::Sql(sql) => {
            let refused = |source| StartError::Sql { namespace: name.to_owned(), source };
            Some(Arc::new(
                SqlClient::connect(&sql_origin(name, of, sql, breaker(&sql.limits))?)
                    .await
                    .map_err(refused)?,
            ))
        }
    })
}

fn http_origin(
    config: &Config,
    name: &str,
    of: &Namespace,
    http: &HttpOrigin,
    breaker: Arc<Breaker>,
) -> Result<HttpSettings, StartError> {
    let url = http.url.expose().to_owned();
    // The system's are read from a hundred files.
    let roots = if url.starts_with("https:") {
        let refused = |source| StartError::Roots { namespace: name.to_owned(), source };
        tls::roots(http.ca_file.as_deref()).map_err(refused)?
    } else {
        Roots::empty()
    };
    let headers = http.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
    Ok(HttpSettings {
        namespace: checked(name)?,
        url,
        timeout: http.limits.timeout,
        retries: http.limits.retries,
        max_concurrency: http.limits.max_concurrency,
        breaker,
        honour_cache_control: http.cache_control == CacheControl::Honour,
        headers: headers.collect(),
        max_value: size(of.max_value),
        ttl_max: of.ttl_max,
        roots,
        user_agent: format!("coherd/{} ({})", env!("CARGO_PKG_VERSION"), config.instance.id),
    })
}

fn sql_origin(
    name: &str,
    of: &Namespace,
    sql: &SqlOrigin,
    breaker: Arc<Breaker>,
) -> Result<SqlSettings, StartError> {
    Ok(SqlSettings {
        namespace: checked(name)?,
        url: sql.url.expose().to_owned(),
        select: sql.select.clone(),
        upsert: sql.upsert.clone(),
        delete: sql.delete.clone(),
        timeout: sql.limits.timeout,
        max_concurrency: sql.limits.max_concurrency,
        breaker,
        max_value: size(of.max_value),
    })
}

pub(super) fn checked(name: &str) -> Result<model::Namespace, StartError> {
    model::Namespace::new(name).map_err(|error| StartError::Config(error.to_string()))
}

/// Sizes of more than the address space are the address space.
pub(super) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_has_the_time_that_its_calls_of_the_backend_may_take() {
        for seconds in [2, 5, 30] {
            let command_timeout = Duration::from_secs(seconds);
            assert_eq!(backend_max(command_timeout), BACKEND_CALLS * command_timeout);
        }
        assert_eq!(
            backend_max(Duration::from_millis(1)),
            BACKEND_MAX,
            "a short one leaves room all the same"
        );
    }
}
