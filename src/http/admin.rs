//! The admin listener: health, metrics, statistics, the log as it is applied here, and the status page.

use std::sync::Arc;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode, Uri};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::auth::{Caller, Right, Scope, Tokens};
use super::body::Body;
use super::front::{Allowance, Call, Desk, Sender};
use super::problem::{Code, Problem};
use super::routes::{self, AdminRoute};
use super::stats::{Stats, Vitals};
use super::{Settings, accept, events, invalidate, letters, page, reply, site};
use crate::cache::Cache;
use crate::coherence::Coherence;
use crate::supervisor::Board;
use crate::telemetry::{Metrics, OPENMETRICS_TYPE, Readiness, Snapshot, TEXT_TYPE};
use crate::write::Writes;

/// What answers on the admin listener.
pub struct AdminDesk {
    /// For `/stats`.
    pub cache: Arc<Cache>,
    /// For `/stats` and `/events`.
    pub coherence: Arc<Coherence>,
    /// Pending and dead ones.
    pub writes: Arc<Writes>,
    /// For `/readyz`.
    pub readiness: Readiness,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/stats` and `/events`.
    pub tasks: watch::Receiver<Board>,
    /// For `/stats`: what is asked of the guards and the writes each time.
    pub vitals: Arc<dyn Fn() -> Vitals + Send + Sync>,
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// Names, limits and times.
    pub settings: Arc<Settings>,
    /// When the instance started.
    pub started: Instant,
    /// Ends `/events`: a stream that never ends would hold up every drain.
    pub stop: CancellationToken,
}

impl Desk for AdminDesk {
    type Route = AdminRoute;

    // `/events`
    const WHOLE: bool = false;

    fn route(&self, method: &Method, uri: &Uri) -> Result<AdminRoute, Problem> {
        routes::admin(method, uri)
    }

    fn template(&self, route: &AdminRoute) -> &'static str {
        match route {
            AdminRoute::Page => "/",
            AdminRoute::Healthz => "/healthz",
            AdminRoute::Readyz => "/readyz",
            AdminRoute::Metrics => "/metrics",
            AdminRoute::Stats => "/stats",
            AdminRoute::ResetStats => "/stats/reset",
            AdminRoute::Events => "/events",
            AdminRoute::Explain(..) => "/v1/explain/{namespace}/{key}",
            AdminRoute::Rights => "/v1/rights",
            AdminRoute::Invalidate(_) => "/v1/invalidate",
            AdminRoute::PendingWrites(_) => "/v1/writes/pending",
            AdminRoute::DeadWrites(_) => "/v1/writes/dead",
            AdminRoute::RetryWrites => "/v1/writes/retry",
            AdminRoute::DropWrites => "/v1/writes/drop",
        }
    }

    async fn admit(&self, route: &AdminRoute, sender: Sender<'_>) -> Result<Allowance, Problem> {
        // The page says itself why it is refused what it asks for, and has an answer of its own for who lacks the right.
        if is_open(route) || *route == AdminRoute::Page {
            return Ok(self.allowance());
        }
        if self.tokens.is_empty() {
            site::refuse_foreign_name(sender)?;
        }
        site::refuse_foreign_page(sender)?;
        match route {
            AdminRoute::Rights => {
                self.tokens.caller(sender.headers)?;
            }
            // The one right for the listener, the other for the event; what that names is checked when it has been read.
            AdminRoute::Invalidate(_) => {
                let caller = self.tokens.caller(sender.headers)?;
                caller.check(Right::Admin, Scope::Nothing)?;
                caller.check(Right::Invalidate, Scope::Nothing)?;
                let body_max = invalidate::body_max(&self.settings);
                return Ok(Allowance { body_max, time: None, ..self.allowance() });
            }
            AdminRoute::PendingWrites(of) | AdminRoute::DeadWrites(of) => {
                let scope = of.namespace.as_deref().map_or(Scope::Everything, Scope::Namespace);
                self.tokens.check(sender.headers, Right::Admin, scope)?;
            }
            AdminRoute::RetryWrites | AdminRoute::DropWrites => {
                self.tokens.check(sender.headers, Right::Admin, Scope::Everything)?;
                return Ok(Allowance { body_max: letters::BODY_MAX, ..self.allowance() });
            }
            // What is counted for all namespaces.
            AdminRoute::ResetStats => self.tokens.check(sender.headers, Right::Admin, Scope::Everything)?,
            AdminRoute::Explain(namespace, _) => {
                self.tokens.check(sender.headers, Right::Admin, Scope::Namespace(namespace))?;
            }
            _ => self.tokens.check(sender.headers, Right::Admin, Scope::Nothing)?,
        }
        Ok(self.allowance())
    }

    fn unread(&self, route: &AdminRoute, problem: &Problem) {
        if matches!(route, AdminRoute::Invalidate(_)) {
            invalidate::unread(&self.coherence, problem);
        }
    }

    async fn answer(&self, route: AdminRoute, call: Call) -> Result<Response<Body>, Problem> {
        Ok(match route {
            AdminRoute::Page => self.page(&call.headers)?,
            AdminRoute::Healthz => healthz(),
            AdminRoute::Readyz => readyz(&self.readiness.snapshot()),
            AdminRoute::Metrics => {
                self.coherence.refresh_gauges();
                if accept::openmetrics(&call.headers) {
                    text(OPENMETRICS_TYPE, self.metrics.openmetrics())
                } else {
                    text(TEXT_TYPE, self.metrics.text())
                }
            }
            AdminRoute::Stats => self.stats(&self.tokens.caller(&call.headers)?)?,
            AdminRoute::ResetStats => {
                self.cache.reset_stats();
                reply::no_content()
            }
            AdminRoute::Explain(namespace, key) => match self.cache.explain(&namespace, &key).await {
                Some(explanation) => document(&explanation)?,
                None => return Err(Problem::unknown_namespace(&namespace)),
            },
            AdminRoute::PendingWrites(options) => letters::pending(&self.writes, &options).await?,
            AdminRoute::DeadWrites(options) => letters::dead(&self.writes, &options).await?,
            AdminRoute::RetryWrites => letters::retry(&self.writes, &call.body).await?,
            AdminRoute::DropWrites => letters::drop_dead(&self.writes, &call.body).await?,
            AdminRoute::Rights => rights(&self.tokens.caller(&call.headers)?),
            AdminRoute::Invalidate(options) => {
                invalidate::publish(&self.coherence, &self.tokens, &self.settings, options, &call).await?
            }
            AdminRoute::Events => {
                let seen = self.tokens.caller(&call.headers)?.namespaces().into_iter().cloned().collect();
                let notices = self.coherence.follow();
                let stream = events::stream(notices, seen, self.tasks.clone(), self.stop.clone());
                let mut response = Response::new(Body::stream(stream));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
        })
    }
}

impl AdminDesk {
    fn allowance(&self) -> Allowance {
        Allowance { body_max: 0, time: Some(self.settings.request_timeout), headers: Vec::new() }
    }

    /// The page; for a browser whose request has no right to it, the page as a form to sign in: a browser has no token for
    /// what it opens.
    fn page(&self, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
        match self.tokens.check(headers, Right::Admin, Scope::Nothing) {
            Ok(()) => Ok(page::answer(headers)),
            Err(refusal) if accept::html(headers) => Ok(page::sign_in(refusal)),
            Err(refusal) => Err(refusal),
        }
    }

    /// With what the sender may know of.
    fn stats(&self, caller: &Caller<'_>) -> Result<Response<Body>, Problem> {
        let names = (self.settings.instance.as_str(), self.settings.cluster.as_str());
        let tasks = self.tasks.borrow().clone();
        let uptime = self.started.elapsed();
        let mut namespaces = self.cache.stats();
        namespaces.retain(|name, _| caller.sees(name));
        let mut vitals = (self.vitals)();
        vitals.breakers.retain(|target, _| {
            target.strip_prefix("origin:").is_none_or(|namespace| caller.sees(namespace))
        });
        let stats = Stats::new(names, uptime, namespaces, self.coherence.status(), vitals, &tasks);
        document(&stats)
    }
}

/// What everybody may ask for: a supervisor and a scraper have no token.
fn is_open(route: &AdminRoute) -> bool {
    matches!(route, AdminRoute::Healthz | AdminRoute::Readyz | AdminRoute::Metrics)
}

/// What the sender may do, in the configuration's words. No right is needed to ask, only a known token where there are
/// any: whoever asks is told about his own token and no other.
fn rights(caller: &Caller<'_>) -> Response<Body> {
    let rights: Vec<_> = caller.rights().into_iter().map(Right::as_str).collect();
    let namespaces: Vec<_> = caller.namespaces().into_iter().map(ToString::to_string).collect();
    reply::json(
        StatusCode::OK,
        &serde_json::json!({ "token": caller.name(), "allow": rights, "namespaces": namespaces }),
    )
}

fn document(of: &impl Serialize) -> Result<Response<Body>, Problem> {
    let document = serde_json::to_value(of);
    let document = document.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(reply::json(StatusCode::OK, &document))
}

/// The process can answer.
pub(super) fn healthz() -> Response<Body> {
    text("text/plain; charset=utf-8", "ok\n".to_owned())
}

/// Whether requests may be sent here.
pub(super) fn readyz(snapshot: &Snapshot) -> Response<Body> {
    let status = if snapshot.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let document = serde_json::json!({
        "ready": snapshot.ready, "reasons": snapshot.reasons, "degraded": snapshot.degraded,
    });
    reply::json(status, &document)
}

fn text(content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_a_status_and_its_reasons() {
        let ready = Snapshot { ready: true, reasons: vec![], degraded: vec!["detached".to_owned()] };
        let response = readyz(&ready);
        assert_eq!(response.status(), 200);
        let body = response.into_body().whole().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document, serde_json::json!({"ready": true, "reasons": [], "degraded": ["detached"]}));
        let starting = Snapshot { ready: false, reasons: vec!["starting".to_owned()], degraded: vec![] };
        assert_eq!(readyz(&starting).status(), 503);
    }
}
