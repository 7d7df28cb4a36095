//! Rate limits: in which namespaces callers are counted, by what, and what was decided.
//!
//! A limit of the whole cluster is counted in the backend, and beside it here: so that this instance knows what is spent
//! when the backend is away, and decides by itself until it is back.

mod shared;

use std::collections::HashMap;
use std::sync::Arc;

use crate::backend::Backend;
use crate::clock::Clock;
use crate::guard::RateLimit;
use crate::model::{CallerId, Namespace, Quota, Verdict};
use crate::telemetry::{Metrics, NamespaceMetrics};
use shared::Shared;

/// What tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The value of a request header, its name in lower case.
    Header(String),
    /// The token.
    Token,
    /// The address.
    Ip,
}

/// The limit of one namespace.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub namespace: Namespace,
    /// Who counts as one caller.
    pub key: Key,
    /// What each may.
    pub quota: Quota,
    /// All instances count together; else each by itself.
    pub cluster: bool,
}

/// Every limit there is.
pub struct RateLimits {
    limits: HashMap<Namespace, Limit>,
    shared: Shared,
}

struct Limit {
    settings: Settings,
    own: RateLimit,
    metrics: Arc<NamespaceMetrics>,
}

impl RateLimits {
    /// Limits of which nothing is spent here.
    pub fn new(settings: Vec<Settings>, backend: Arc<dyn Backend>, clock: &Clock, metrics: &Metrics) -> Self {
        let limit = |settings: Settings| {
            let own = RateLimit::new(settings.quota, clock.clone());
            let metrics = metrics.namespace(&settings.namespace);
            (settings.namespace.clone(), Limit { settings, own, metrics })
        };
        let limits = settings.into_iter().map(limit).collect();
        Self { limits, shared: Shared::new(backend, clock.clone()) }
    }

    /// What tells callers apart in a namespace, if they are counted there.
    pub fn key(&self, namespace: &str) -> Option<&Key> {
        self.limits.get(namespace).map(|limit| &limit.settings.key)
    }

    /// Counts a request of a caller, or refuses it; `None` where callers are not counted. Takes as long as the backend,
    /// but never longer than a quarter of a second.
    pub async fn admit(&self, namespace: &str, caller: CallerId) -> Option<(Quota, Verdict)> {
        let limit = self.limits.get(namespace)?;
        let verdict = if limit.settings.cluster {
            self.shared.admit(limit, caller).await
        } else {
            limit.own.admit(caller)
        };
        if let Verdict::Refused { .. } = verdict {
            limit.metrics.rate_limited.inc();
        }
        Some((limit.settings.quota, verdict))
    }
}
