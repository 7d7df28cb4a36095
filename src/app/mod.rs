//! An instance: built from its configuration, started, stopped. The only room that knows every other.

mod breakers;
mod certificate;
mod doors;
mod feeds;
mod refusal;
mod rooms;
mod tracing;
mod warming;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::tracing::{info, warn};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::guarded::Guarded;
use crate::backend::measured::Measured;
use crate::backend::{Backend, LinkState};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::coherence::Coherence;
use crate::config::Config;
use crate::http::{AdminDesk, DataDesk, Vitals};
use crate::lock::Locks;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::{Metrics, Readiness, Reason};

use breakers::Breakers;
use doors::Door;
pub use refusal::StartError;
pub(crate) use rooms::valkey_settings;
pub use rooms::{backend, store};
use warming::Warming;
use watch::Watch;

/// How long each of the later stages may take to stop; the first has `shutdown_grace`.
const STAGE_GRACE: Duration = Duration::from_secs(3);

/// A running instance.
pub struct Instance {
    /// Where data is served.
    pub data: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    supervisor: Supervisor,
    readiness: Readiness,
    cache: Arc<Cache>,
    coherence: Arc<Coherence>,
    backend: Arc<dyn Backend>,
    /// The admin listener's own stop: it answers to the end.
    admin_stop: CancellationToken,
    admin_ended: tokio::task::JoinHandle<()>,
    grace: Duration,
}

impl Instance {
    /// Builds an instance over `backend` and starts it. Ports are bound before anything runs.
    pub async fn start(config: &Config, backend: Arc<dyn Backend>) -> Result<Self, StartError> {
        let started = Instant::now();
        let [data, admin] = doors::bind(config).await?;
        let addresses = (data.local_addr()?, admin.local_addr()?);

        let metrics = rooms::metrics(config)?;
        let readiness = Readiness::new();
        let supervisor = Supervisor::new(metrics.tasks.clone());
        let tls = certificate::serve(config.server.tls.as_ref(), &readiness, &supervisor)?;
        let mut breakers = Breakers::new(metrics.breakers.clone());
        let backend = guarded(config, backend, &mut breakers, &metrics);
        let tracer = tracing::start(config, &supervisor, &metrics)?;
        let coherence =
            Coherence::new(rooms::coherence(config, &backend, Clock::Boottime, &metrics, &tracer)?);
        let queues = rooms::queues(config, &Clock::Boottime, &metrics);
        let namespaces = rooms::namespaces(config, &queues, &mut breakers).await?;
        let written = rooms::written(config, &namespaces);
        let breakers = Arc::new(breakers);
        let cache = Arc::new(Cache::new(
            namespaces,
            &config.instance.id,
            Arc::clone(&backend),
            Arc::clone(&coherence),
            supervisor.clone(),
            &metrics,
        ));
        let writes = rooms::writes(config, written, &cache, &coherence, &backend, &supervisor, &metrics);
        let warming = Warming::new(config, &readiness, &supervisor, &cache)?;

        rooms::keep_connected(&supervisor, &backend);
        rooms::follow(config, &supervisor, &coherence, &cache, &metrics);
        coherence.start(&supervisor);
        cache.start();
        writes.start();
        rooms::refresh(config, &supervisor, &cache, &queues);
        feeds::start(config, &coherence, &supervisor, &readiness, &metrics)?;
        Watch {
            readiness: readiness.clone(),
            coherence: Arc::clone(&coherence),
            backend: Arc::clone(&backend),
            warnings: metrics.backend.warnings.clone(),
            breakers: Arc::clone(&breakers),
            supervisor: supervisor.clone(),
            warming,
            deadline: Instant::now() + config.coherence.start_detached_after,
        }
        .start();

        let limits = doors::rate_limits(config, &backend, &metrics)?;
        let locks = Arc::new(Locks::new(Arc::clone(&backend), Arc::clone(&coherence), supervisor.clone()));
        let settings = Arc::new(doors::http(config));
        let tokens = Arc::new(doors::tokens(config)?);
        let desk = DataDesk {
            cache: Arc::clone(&cache),
            coherence: Arc::clone(&coherence),
            writes: Arc::clone(&writes),
            locks,
            limits,
            readiness: readiness.clone(),
            tokens: Arc::clone(&tokens),
            tracer,
            settings: Arc::clone(&settings),
        };
        let (lame_duck, stop) = (config.instance.lame_duck, supervisor.stopping(Stage::Door));
        let door = Door { name: "data", socket: data, tls: tls.clone(), lame_duck, stop };
        doors::listen(&supervisor, door, desk, &settings);
        let admin_stop = CancellationToken::new();
        let desk = AdminDesk {
            cache: Arc::clone(&cache),
            coherence: Arc::clone(&coherence),
            readiness: readiness.clone(),
            metrics,
            tasks: supervisor.follow(),
            writes: Arc::clone(&writes),
            vitals: Arc::new(move || Vitals {
                breakers: breakers.by_target(),
                writes: rooms::backlog(&writes),
            }),
            tokens,
            settings: Arc::clone(&settings),
            started,
            stop: admin_stop.clone(),
        };
        let stop = admin_stop.clone();
        let door = Door { name: "admin", socket: admin, tls, lame_duck: Duration::ZERO, stop };
        let admin_ended = doors::listen(&supervisor, door, desk, &settings);
        let (tls, instance) = (config.server.tls.is_some(), &config.instance.id);
        info!(data = %addresses.0, admin = %addresses.1, tls, instance = %instance, "started");
        Ok(Self {
            data: addresses.0,
            admin: addresses.1,
            supervisor,
            readiness,
            cache,
            coherence,
            backend,
            admin_stop,
            admin_ended,
            grace: config.instance.shutdown_grace,
        })
    }

    /// Whether requests may be sent here.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Ends when the instance cannot go on: a task panicked again and again. Answers which.
    pub async fn given_up(&self) -> &'static str {
        self.supervisor.given_up().await
    }

    /// Ends when the server is there but must not be used, before the instance was ever ready. Answers why.
    pub async fn refused(&self) -> String {
        let mut link = self.backend.link();
        let refused = tokio::select! {
            biased;
            refused = link.wait_for(|state| matches!(state, LinkState::Refused(_))) => refused,
            // A server that is demoted later is one that is away: whoever lost it goes on without it.
            () = self.readiness.ready() => return std::future::pending().await,
        };
        match refused.map(|state| state.clone()) {
            Ok(LinkState::Refused(why)) => why,
            _ => std::future::pending().await,
        }
    }

    /// Stops in order: not ready, after `lame_duck` no new connections, requests under way and the hottest keys left to others, loads,
    /// writes, log, membership, connections.
    pub async fn stop(self) {
        info!("stopping");
        self.readiness.hold(Reason::Draining);
        let later = || Instant::now() + STAGE_GRACE;
        let door = self.supervisor.stop(Stage::Door, Instant::now() + self.grace + STAGE_GRACE);
        // Beside it: whoever stops this may not wait to the end.
        let (mut cut_off, ()) = tokio::join!(door, warming::leave(&self.cache));
        cut_off += self.supervisor.stop(Stage::Load, later()).await;
        cut_off += self.supervisor.stop(Stage::Write, later() + self.grace).await;
        // After the heartbeat, which would renew the membership. Nothing is answered from copies any more: publishers
        // need not wait for this instance.
        cut_off += self.supervisor.stop(Stage::Coherence, later()).await;
        if tokio::time::timeout(STAGE_GRACE, self.coherence.leave()).await.is_err() {
            warn!("the membership was not withdrawn in time, the others find out by themselves");
        }
        self.admin_stop.cancel();
        if tokio::time::timeout(STAGE_GRACE, self.admin_ended).await.is_err() {
            cut_off += 1;
        }
        cut_off += self.supervisor.stop(Stage::Backend, later()).await;
        info!(cut_off, "stopped");
    }
}

/// The backend behind its breaker, and measured.
fn guarded(
    config: &Config,
    backend: Arc<dyn Backend>,
    breakers: &mut Breakers,
    metrics: &Metrics,
) -> Arc<dyn Backend> {
    let of = &config.backend;
    let breaker = breakers.add(breakers::BACKEND.to_owned(), &of.breaker, of.command_timeout);
    let guarded = Guarded::new(backend, breaker, 0 < config.coherence.min_replicas_ack);
    Arc::new(Measured::new(Arc::new(guarded), Arc::clone(&metrics.backend)))
}
