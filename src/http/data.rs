//! The data listener: reads, writes and invalidations.

use std::sync::Arc;

use hyper::header::HeaderMap;
use hyper::{Method, Response, StatusCode, Uri};
use serde_json::json;
use tokio::time::Instant;

use super::auth::{Caller, Right, Scope, Tokens};
use super::body::Body;
use super::front::{Allowance, Call, Desk, Sender};
use super::invalidate;
use super::problem::{Code, Problem};
use super::reply;
use super::routes::{self, DataRoute};
use super::{Settings, admin, bulk, cloudevents, demand, locks, site, toll};
use crate::cache::{Cache, WarmFrom};
use crate::coherence::{Coherence, Door, Terms};
use crate::limit::RateLimits;
use crate::lock::Locks;
use crate::model::{Event, Hardness, Key, Namespace, Target};
use crate::telemetry::Readiness;
use crate::telemetry::trace::Tracer;
use crate::write::Writes;

/// What answers on the data listener.
pub struct DataDesk {
    /// The read path.
    pub cache: Arc<Cache>,
    /// The log.
    pub coherence: Arc<Coherence>,
    /// Writes to origins.
    pub writes: Arc<Writes>,
    /// Locks across the cluster.
    pub locks: Arc<Locks>,
    /// How often who may read and write.
    pub limits: Arc<RateLimits>,
    /// For `/readyz`.
    pub readiness: Readiness,
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// Begins the spans of requests.
    pub tracer: Tracer,
    /// Limits and times.
    pub settings: Arc<Settings>,
}

impl Desk for DataDesk {
    type Route = DataRoute;

    fn route(&self, method: &Method, uri: &Uri) -> Result<DataRoute, Problem> {
        routes::data(method, uri)
    }

    fn template(&self, route: &DataRoute) -> &'static str {
        route.template()
    }

    fn tracer(&self) -> Option<&Tracer> {
        Some(&self.tracer)
    }

    async fn admit(&self, route: &DataRoute, sender: Sender<'_>) -> Result<Allowance, Problem> {
        // A page of another site has no token to send.
        if self.tokens.is_empty() {
            site::refuse_foreign_change(sender)?;
        }
        let (right, namespace) = match route {
            DataRoute::Healthz | DataRoute::Readyz => return Ok(self.allowance(route)),
            DataRoute::Read(namespace, _)
            | DataRoute::Bulk(namespace, _)
            | DataRoute::BulkPost(namespace) => (Right::Read, namespace),
            DataRoute::Put(namespace, ..) | DataRoute::Delete(namespace, ..) | DataRoute::Warm(namespace) => {
                (Right::Write, namespace)
            }
            DataRoute::Purge { namespace, .. } => (Right::Invalidate, namespace),
            // What the event names is checked when it has been read.
            DataRoute::Invalidate(_) | DataRoute::Events => {
                self.tokens.check(sender.headers, Right::Invalidate, Scope::Nothing)?;
                return Ok(self.allowance(route));
            }
            // They belong to no namespace.
            DataRoute::TakeLock(..) | DataRoute::ExtendLock(..) | DataRoute::GiveUpLock(_) => {
                self.tokens.check(sender.headers, Right::Write, Scope::Everything)?;
                return Ok(self.allowance(route));
            }
        };
        let paid = async {
            let caller = self.may(sender.headers, right, namespace)?;
            if matches!(route, DataRoute::Put(..) | DataRoute::Delete(..)) {
                self.takes_writes(namespace)?;
            }
            // An invalidation that had to wait would have everybody read what is old.
            if right == Right::Invalidate {
                return Ok(Vec::new());
            }
            toll::pay(&self.limits, namespace, &caller, sender).await
        };
        let headers = paid.await.inspect_err(|_| self.cache.count_rejected(namespace))?;
        Ok(Allowance { headers, ..self.allowance(route) })
    }

    fn unread(&self, route: &DataRoute, problem: &Problem) {
        if matches!(route, DataRoute::Invalidate(_) | DataRoute::Events) {
            invalidate::unread(&self.coherence, problem);
        }
    }

    async fn answer(&self, route: DataRoute, call: Call) -> Result<Response<Body>, Problem> {
        match route {
            DataRoute::Read(namespace, key) => {
                let asked = demand::of(&call.headers, call.trace, Some(call.arrived));
                let asked = asked.inspect_err(|_| self.cache.count_rejected(&namespace))?;
                reply::read(self.cache.get(&namespace, &key, &asked).await, call.headers)
            }
            // A future is as large as the largest of its ways: what is rarer than a read has its room on the heap.
            DataRoute::Bulk(namespace, keys) => Box::pin(self.bulk(&namespace, keys, &call)).await,
            DataRoute::BulkPost(namespace) => {
                Box::pin(self.bulk(&namespace, bulk::keys(&call.body)?, &call)).await
            }
            DataRoute::Warm(namespace) => Box::pin(self.warm(&namespace, bulk::keys(&call.body)?)).await,
            DataRoute::Put(namespace, key, options) => {
                Box::pin(self.put(&namespace, &key, options, call)).await
            }
            DataRoute::Delete(namespace, key, options) => {
                Box::pin(self.delete(&namespace, &key, options, &call.headers)).await
            }
            DataRoute::Purge { namespace, key, soft } => {
                let event = purge(namespace, key, soft || invalidate::soft_purge(&call.headers));
                Box::pin(self.purge(event, &call)).await
            }
            DataRoute::Invalidate(options) => {
                let Self { coherence, tokens, settings, .. } = self;
                Box::pin(invalidate::publish(coherence, tokens, settings, options, &call)).await
            }
            DataRoute::Events => {
                Box::pin(cloudevents::publish(&self.coherence, &self.tokens, &self.settings, &call)).await
            }
            DataRoute::TakeLock(name, options) => Box::pin(locks::take(&self.locks, &name, options)).await,
            DataRoute::ExtendLock(name, options) => {
                Box::pin(locks::extend(&self.locks, &name, options, &call.headers)).await
            }
            DataRoute::GiveUpLock(name) => Box::pin(locks::give_up(&self.locks, &name, &call.headers)).await,
            DataRoute::Healthz => Ok(admin::healthz()),
            DataRoute::Readyz => Ok(admin::readyz(&self.readiness.snapshot())),
        }
    }
}

impl DataDesk {
    /// Whether the sender may do this in this namespace, and the namespace knows it.
    fn may(&self, headers: &HeaderMap, right: Right, namespace: &Namespace) -> Result<Caller<'_>, Problem> {
        let caller = self.tokens.caller(headers)?;
        caller.check(right, Scope::Namespace(namespace))?;
        if !self.cache.knows(namespace) {
            return Err(Problem::unknown_namespace(namespace));
        }
        Ok(caller)
    }

    fn takes_writes(&self, namespace: &Namespace) -> Result<(), Problem> {
        if self.cache.is_cache_aside(namespace) || self.writes.takes(namespace) {
            Ok(())
        } else {
            Err(Problem::new(Code::WriteOff, format!("namespace `{namespace}` takes no writes")))
        }
    }

    fn allowance(&self, route: &DataRoute) -> Allowance {
        let max = self.settings.max_body;
        let body_max = match route {
            DataRoute::Put(..) | DataRoute::BulkPost(_) | DataRoute::Warm(_) => max,
            DataRoute::Invalidate(_) | DataRoute::Events => invalidate::body_max(&self.settings),
            _ => 0,
        };
        // Whoever waits says for how long; whoever warms is told how far it came.
        let own = match route {
            DataRoute::Invalidate(_) | DataRoute::Events | DataRoute::TakeLock(..) | DataRoute::Warm(_) => {
                true
            }
            DataRoute::Put(_, _, options) | DataRoute::Delete(_, _, options) => options.wait.is_some(),
            _ => false,
        };
        Allowance { body_max, time: (!own).then_some(self.settings.request_timeout), headers: Vec::new() }
    }

    async fn purge(&self, event: Event, call: &Call) -> Result<Response<Body>, Problem> {
        let sender = Some(self.tokens.caller(&call.headers)?.sender(call.peer));
        let terms = Terms { sender, ..Terms::of(Door::Purge) };
        let receipt = self.coherence.publish(event, &terms).await;
        let receipt = receipt.map_err(|error| reply::publish_refused(&error))?;
        Ok(if receipt.deferred { reply::deferred(&receipt.id) } else { reply::logged(&receipt.id) })
    }

    async fn bulk(
        &self,
        namespace: &Namespace,
        keys: Vec<Key>,
        call: &Call,
    ) -> Result<Response<Body>, Problem> {
        let asked = demand::of(&call.headers, call.trace, Some(call.arrived))?;
        let keys = bulk::distinct(keys);
        let answers = self.cache.get_many(namespace, &keys, &asked).await;
        Ok(bulk::reply(&keys, answers))
    }

    async fn warm(&self, namespace: &Namespace, keys: Vec<Key>) -> Result<Response<Body>, Problem> {
        let keys = bulk::distinct(keys);
        let until = Instant::now() + self.settings.request_timeout;
        let warmed = self.cache.warm(namespace, keys, WarmFrom::Origin, until).await;
        Ok(reply::json(StatusCode::OK, &json!(warmed)))
    }
}

fn purge(namespace: Namespace, key: Key, soft: bool) -> Event {
    let hardness = if soft { Hardness::Soft } else { Hardness::Hard };
    Event { hardness, ..Event::hard(vec![Target::Key(namespace, key)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_an_event_about_one_key() {
        let event = purge(Namespace::new("u").unwrap(), Key::new("1").unwrap(), true);
        assert_eq!((event.hardness, event.targets.len()), (Hardness::Soft, 1));
    }
}
