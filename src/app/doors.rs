//! The two listeners: their sockets, who may come in, how often, and what a request may take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::tracing::warn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::rooms::{checked, size};
use crate::backend::Backend;
use crate::clock::Clock;
use crate::config::{Config, RateKey, Right, Scope};
use crate::http::{self, Desk, Listener, Settings, Spawn, Tokens};
use crate::limit::{self, RateLimits};
use crate::model::Quota;
use crate::supervisor::{Stage, Supervisor};
use crate::telemetry::Metrics;
use crate::tls::Acceptor;

pub(super) fn rate_limits(
    config: &Config,
    backend: &Arc<dyn Backend>,
    metrics: &Metrics,
) -> Result<Arc<RateLimits>, StartError> {
    let limits = RateLimits::new(limits(config)?, Arc::clone(backend), &Clock::Boottime, metrics);
    Ok(Arc::new(limits))
}

fn limits(config: &Config) -> Result<Vec<limit::Settings>, StartError> {
    let limited = config.namespaces.iter().filter_map(|(name, it)| Some((name, it.rate_limit.as_ref()?)));
    limited
        .map(|(name, of)| {
            let unbounded = || StartError::Config(format!("the rate limit of `{name}` is never regained"));
            Ok(limit::Settings {
                namespace: checked(name)?,
                key: match &of.key {
                    RateKey::Header(name) => limit::Key::Header(name.clone()),
                    RateKey::Token => limit::Key::Token,
                    RateKey::Ip => limit::Key::Ip,
                },
                quota: Quota::new(of.rate, of.per, of.burst).ok_or_else(unbounded)?,
                cluster: of.scope == Scope::Cluster,
            })
        })
        .collect()
}

pub(super) fn http(config: &Config) -> http::Settings {
    http::Settings {
        instance: config.instance.id.clone(),
        cluster: config.instance.cluster.clone(),
        header_timeout: config.server.header_timeout,
        body_timeout: config.server.body_timeout,
        request_timeout: config.server.request_timeout,
        shutdown_grace: config.instance.shutdown_grace,
        max_body: size(config.server.max_body),
        rooms: http::Rooms::for_bodies_of(size(config.server.max_body)),
        connections_max: http::Settings::CONNECTIONS_MAX,
        clock: Clock::Boottime,
    }
}

pub(super) fn tokens(config: &Config) -> Result<Tokens, StartError> {
    let mut tokens = Tokens::default();
    for token in &config.auth.tokens {
        let rights = token.allow.iter().map(|right| match right {
            Right::Read => http::Right::Read,
            Right::Write => http::Right::Write,
            Right::Invalidate => http::Right::Invalidate,
            Right::Admin => http::Right::Admin,
        });
        let namespaces = token.namespaces.iter().map(|name| checked(name)).collect::<Result<Vec<_>, _>>()?;
        tokens.add(&token.name, token.secret.expose().as_bytes(), rights, namespaces);
    }
    Ok(tokens)
}

/// The sockets of both listeners, the one for data first.
pub(super) async fn bind(config: &Config) -> Result<[TcpListener; 2], StartError> {
    let bind = async |address: SocketAddr, key| {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|source| StartError::Bind { key, address, source })
    };
    let data = bind(config.server.listen, "server.listen").await?;
    Ok([data, bind(config.server.admin_listen, "server.admin_listen").await?])
}

/// One of the two listeners.
pub(super) struct Door {
    pub(super) name: &'static str,
    pub(super) socket: TcpListener,
    pub(super) tls: Option<Acceptor>,
    pub(super) lame_duck: Duration,
    pub(super) stop: CancellationToken,
}

/// Accepts on a bound socket until its stop, and for its `lame_duck` after it.
pub(super) fn listen<D: Desk>(
    supervisor: &Supervisor,
    door: Door,
    desk: D,
    settings: &Arc<Settings>,
) -> tokio::task::JoinHandle<()> {
    let Door { name, socket, tls, lame_duck, stop } = door;
    // The admin listener answers to the end: its work belongs to the last stage.
    let stage = if name == "data" { Stage::Door } else { Stage::Backend };
    let spawner = supervisor.clone();
    let spawn: Spawn = Arc::new(move |name, work| drop(spawner.spawn(stage, name, work)));
    let (desk, settings) = (Arc::new(desk), Arc::clone(settings));
    let listener = Listener { name, socket, desk, settings, tls, spawn, lame_duck };
    supervisor.spawn(stage, "http.listener", async move {
        let cut_off = listener.run(stop).await;
        if cut_off != 0 {
            warn!(listener = name, cut_off, "connections were cut off at the end of the grace");
        }
    })
}
